//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// TestChaosWebhooks kills the daemon again and again while it delivers events to
// receivers that fail in every way. Each event of each acknowledged change reaches
// each receiver at least once, with one webhook-id, signed; no redirect is followed.
func TestChaosWebhooks(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { tortureWebhooks(t, newHouse(t, vcsim.Options{VMs: smallVMs()[:1]}), size(8, 50)) })
	if !long() {
		return
	}
	t.Run("postgres", func(t *testing.T) {
		pg, err := pgtest.Start(t.Context(), "fsync=on")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := pg.Stop(); err != nil {
				t.Error(err)
			}
		})
		h := newHouse(t, vcsim.Options{VMs: smallVMs()[:1]})
		h.store = pg.URL(t)
		tortureWebhooks(t, h, 50)
	})
}

func tortureWebhooks(t *testing.T, h *house, kills int) {
	h.extra = "webhooks:\n  allow_private: [127.0.0.0/8]\n"
	c := &hooking{house: h, rnd: chance(t), changes: map[string]bool{}}
	c.receivers = c.furnishReceivers()
	d := h.start()
	for _, r := range c.receivers {
		c.subscribe(d, r)
	}
	d.kill()
	for i := range kills {
		c.round(i)
	}
	c.finish()
	for _, r := range c.receivers {
		c.judge(r)
	}
	if n := c.private.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
	t.Logf("%d kills, %d acknowledged changes", kills, len(c.changes))
}

// hooking is the state of the test.
type hooking struct {
	*house
	rnd       *rand.Rand
	receivers []*endpoint
	private   atomic.Int32 // requests where no redirect may lead

	mu      sync.Mutex
	changes map[string]bool // acknowledged: job and kind of its event
}

// endpoint is one receiver.
type endpoint struct {
	name   string
	events []string
	fail   func(w http.ResponseWriter, r *http.Request) // in place of an answer
	often  float64
	calm   atomic.Bool // it answers now
	url    string
	secret string

	mu    sync.Mutex
	wrong []string
	times map[string]int             // webhook-id: how often it was taken
	ids   map[string]map[string]bool // job and kind: ids
	state map[int64]string           // events about webhooks, by seq
}

// furnishReceivers starts a receiver for each way to fail.
func (c *hooking) furnishReceivers() []*endpoint {
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { c.private.Add(1) }))
	c.Cleanup(private.Close)
	all := []*endpoint{
		{name: "steady"},
		{name: "watch", events: []string{"webhook.breaker_*"}},
		{name: "status-500", often: 0.5, fail: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		{name: "reset", often: 0.5, fail: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "redirect", often: 0.5, fail: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, private.URL+"/latest/meta-data", http.StatusTemporaryRedirect)
		}},
		{name: "slow", often: 0.2, fail: func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}},
		{name: "taken-and-lost", often: 0.3, fail: nil},
		{name: "down", often: 1, fail: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	}
	for _, r := range all {
		r.times, r.ids, r.state = map[string]int{}, map[string]map[string]bool{}, map[int64]string{}
		s := httptest.NewUnstartedServer(r)
		s.Config.ErrorLog = nil
		s.Start()
		c.Cleanup(s.Close)
		r.url = s.URL
	}
	return all
}

// subscribe makes the webhook of a receiver.
func (c *hooking) subscribe(d *daemon, r *endpoint) {
	c.Helper()
	retries := 50
	spec := client.WebhookSpec{
		Name: r.name, URL: r.url + "/hook", Timeout: "1s", Events: []string{"job.submitted", "job.cancelled"},
		Retry:   &client.WebhookRetry{MaxRetries: &retries, InitialDelay: "20ms", MaxDelay: "200ms", BackoffFactor: 1.5},
		Breaker: &client.WebhookBreaker{FailureThreshold: 3, SuccessThreshold: 2, Timeout: "200ms"},
	}
	if r.events != nil {
		spec.Events = r.events
	}
	made, err := d.CreateWebhook(c.Context(), spec)
	if err != nil {
		c.Fatal(err)
	}
	r.secret = made.Secret
}

// round runs a daemon for a random while, under changes from several clients.
func (c *hooking) round(n int) {
	d := c.start()
	ctx, cancel := context.WithTimeout(c.Context(), time.Duration(c.rnd.Int64N(int64(1200*time.Millisecond))))
	defer cancel()
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() {
			for k := 0; k < 25 && ctx.Err() == nil; k++ {
				c.change(ctx, d, fmt.Sprintf("/DC/vm/%d-%d-%d", n, i, k))
			}
		})
	}
	<-ctx.Done()
	d.kill()
	clients.Wait()
}

// change submits a job that never runs and cancels it.
func (c *hooking) change(ctx context.Context, d *daemon, vm string) {
	later := time.Now().Add(24 * time.Hour)
	r, err := d.Submit(ctx, client.Spec{VMPath: vm, NotBefore: &later})
	if err != nil {
		return
	}
	c.note(r.JobIDs[0] + " job.submitted")
	if _, err := d.Cancel(ctx, r.JobIDs[0], "torture"); err == nil {
		c.note(r.JobIDs[0] + " job.cancelled")
	}
}

func (c *hooking) note(change string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes[change] = true
}

// finish lets the receivers come to their senses, and waits for the queue.
func (c *hooking) finish() {
	for _, r := range c.receivers {
		r.calm.Store(true)
	}
	d := c.start()
	eventually(c.T, "the end of the queue", func() bool {
		for w, err := range d.Webhooks(c.Context()) {
			if err != nil {
				c.Fatal(err)
			}
			if w.Pending > 0 || !w.Enabled || w.Health.Breaker != "closed" {
				return false
			}
		}
		return true
	})
	for _, r := range c.receivers {
		for dead, err := range d.Deliveries(c.Context(), r.name, "dead") {
			if err != nil {
				c.Fatal(err)
			}
			c.Errorf("%s: %s is dead: %d %s", r.name, dead.ID, dead.LastStatus, dead.LastError)
		}
	}
	d.stop()
}

// judge checks what a receiver got.
func (c *hooking) judge(r *endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wrong {
		c.Errorf("%s: %s", r.name, w)
	}
	again := 0
	for _, n := range r.times {
		again += n - 1
	}
	c.Logf("%s: %d deliveries, %d came again", r.name, len(r.times), again)
	if r.events != nil {
		c.judgeBreakers(r)
		return
	}
	for change := range c.changes {
		if len(r.ids[change]) == 0 {
			c.Errorf("%s never heard of %s", r.name, change)
		}
	}
	for change, ids := range r.ids {
		if len(ids) != 1 {
			c.Errorf("%s: %s came under %d ids", r.name, change, len(ids))
		}
	}
}

// judgeBreakers: each circuit breaker opens and closes in turn, and ends closed.
func (c *hooking) judgeBreakers(r *endpoint) {
	last := map[string]string{}
	for _, seq := range slices.Sorted(maps.Keys(r.state)) {
		var kind, subject string
		if _, err := fmt.Sscan(r.state[seq], &kind, &subject); err != nil {
			c.Fatal(err)
		}
		if last[subject] == kind || last[subject] == "" && kind != "webhook.breaker_opened" {
			c.Errorf("%s: %s after %q", subject, kind, last[subject])
		}
		last[subject] = kind
	}
	if len(last) < 3 {
		c.Errorf("the circuit breakers of %d receivers opened: the test proves little", len(last))
	}
	for subject, kind := range last {
		if kind != "webhook.breaker_closed" {
			c.Errorf("%s ended with %s", subject, kind)
		}
	}
}

// ServeHTTP implements http.Handler.
func (r *endpoint) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	bad := !r.calm.Load() && rand.Float64() < r.often
	if bad && r.fail != nil {
		r.fail(w, req)
		return
	}
	r.take(req.Header, body)
	if bad { // it took the event, and its answer is lost
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take notes a delivery, once its signature has been verified.
func (r *endpoint) take(h http.Header, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	verifier, err := standardwebhooks.NewWebhook(r.secret)
	if err == nil {
		err = verifier.Verify(body, h)
	}
	var m struct {
		Type string
		Data struct {
			Seq     int64  `json:"event_seq"`
			JobID   string `json:"job_id"`
			Subject string
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		r.wrong = append(r.wrong, err.Error())
		return
	}
	id, change := h.Get("webhook-id"), m.Data.JobID+" "+m.Type
	r.times[id]++
	if r.ids[change] == nil {
		r.ids[change] = map[string]bool{}
	}
	r.ids[change][id] = true
	r.state[m.Data.Seq] = m.Type + " " + m.Data.Subject
}
