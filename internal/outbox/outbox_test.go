package outbox_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// TestDelivery: what is wanted arrives, signed, and nothing else does.
func TestDelivery(t *testing.T) {
	w := newWorld(t, store.Options{})
	r := &receiver{}
	w.cancel(job.Spec{VMPath: "/DC/vm/before"})
	made := w.create(webhook.Definition{Name: "ops", URL: w.serve(r) + "/secret", Events: []string{"job.cancelled"}, VMs: []string{"web-*"}, Labels: map[string]string{"team": "web"}})
	want := w.cancel(job.Spec{VMPath: "/DC/vm/web-01", Labels: map[string]string{"team": "web"}})
	w.cancel(job.Spec{VMPath: "/DC/vm/web-02", Labels: map[string]string{"team": "db"}})
	w.cancel(job.Spec{VMPath: "/DC/vm/db-01", Labels: map[string]string{"team": "web"}})
	last := w.cancel(job.Spec{VMPath: "/DC/vm/WEB-03", Labels: map[string]string{"team": "web"}})
	defer w.run(loopback())()
	w.eventually("two deliveries", func() bool { return len(w.deliveries("ops", webhook.Delivered)) == 2 })
	seen := r.all()
	if len(seen) != 2 {
		t.Fatalf("%d requests", len(seen))
	}
	var jobs []string
	for _, g := range seen {
		if err := w.verify(made.Secret.Reveal(), g); err != nil {
			t.Error(err)
		}
		var m struct {
			Type string `json:"type"`
			Data struct {
				JobID string `json:"job_id"`
				Job   struct {
					VMPath string `json:"vm_path"`
				} `json:"job"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(g.body), &m); err != nil || m.Type != kindCancelled || m.Data.Job.VMPath == "" {
			t.Errorf("%v: %s", err, g.body)
		}
		jobs = append(jobs, m.Data.JobID)
	}
	slices.Sort(jobs)
	if expect := []string{want.ID, last.ID}; !slices.Equal(jobs, expect) {
		t.Errorf("told of %v, want %v", jobs, expect)
	}
	d, err := w.svc.Delivery(t.Context(), w.us, "ops", seen[0].id)
	w.must(err)
	if len(d.Log) != 1 || d.Log[0].Status != 204 || d.Payload != seen[0].body || d.Attempts != 1 {
		t.Errorf("%+v", d)
	}
}

func fast(retries int) *webhook.Retry {
	return &webhook.Retry{MaxRetries: &retries, InitialDelay: "10ms", BackoffFactor: 1}
}

func never() *webhook.BreakerPolicy {
	no := false
	return &webhook.BreakerPolicy{Enabled: &no}
}

// TestAnswers: what follows from each kind of answer.
func TestAnswers(t *testing.T) {
	t.Parallel()
	elsewhere := &receiver{}
	w := newWorld(t, store.Options{})
	other := w.serve(elsewhere)
	defer w.run(loopback())()
	for _, c := range []struct {
		name     string
		rule     func(int, http.ResponseWriter, *http.Request)
		state    webhook.State
		attempts int
		class    webhook.Class
	}{
		{"taken", status(200), webhook.Delivered, 1, ""},
		{"retried", func(n int, rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(map[bool]int{true: 503, false: 204}[n < 3])
		}, webhook.Delivered, 3, ""},
		{"too-often", status(500), webhook.Dead, 3, webhook.Refused},
		{"refused", status(404), webhook.Dead, 1, webhook.Refused},
		{"redirect", func(_ int, rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, other, http.StatusFound) }, webhook.Dead, 3, webhook.Redirected},
		{"reset", func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, webhook.Dead, 3, webhook.Unreachable},
		{"slow", func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, webhook.Dead, 2, webhook.TimedOut},
		{"endless", func(_ int, rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := rw.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, webhook.Delivered, 1, ""},
		{"long-header", func(_ int, rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("X", strings.Repeat("x", 1<<20))
			rw.WriteHeader(204)
		}, webhook.Dead, 3, webhook.Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, store: w.store, svc: w.svc, key: w.key, us: w.us}
			r := &receiver{rule: c.rule}
			d := webhook.Definition{Name: c.name, URL: w.serve(r), VMs: []string{c.name}, Retry: fast(2), Breaker: never()}
			if c.class == webhook.TimedOut {
				d.Timeout, d.Retry = "1s", fast(1)
			}
			w.create(d)
			w.cancel(job.Spec{VMPath: "/DC/vm/" + c.name})
			w.eventually(c.name, func() bool { return len(w.deliveries(c.name, c.state)) == 1 })
			got := w.deliveries(c.name, "")[0]
			if got.Attempts != c.attempts || got.LastError != c.class || r.count() != c.attempts {
				t.Errorf("%d attempts (%q), the receiver saw %d; want %d (%q)", got.Attempts, got.LastError, r.count(), c.attempts, c.class)
			}
			for _, g := range r.all() {
				if g.id != got.ID {
					t.Errorf("webhook-id %s, want %s", g.id, got.ID)
				}
			}
		})
	}
	if elsewhere.count() != 0 {
		t.Error("the redirect was followed")
	}
}

// TestGone: 410 ends it.
func TestGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.Options{})
	w.create(webhook.Definition{Name: "gone", URL: w.serve(&receiver{rule: status(410)})})
	defer w.run(loopback())()
	w.cancel(job.Spec{VMPath: "/a"})
	w.eventually("disabled", func() bool {
		h, err := w.svc.Webhook(t.Context(), w.us, "gone")
		w.must(err)
		return !h.Enabled && strings.Contains(h.DisabledReason, "410")
	})
	if got := w.events(); !slices.Equal(got, []string{"created", "disabled"}) {
		t.Errorf("%v", got)
	}
	if _, err := w.svc.TestWebhook(t.Context(), w.us, "gone"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a test of a disabled webhook: %v", err)
	}
}

// TestRotation: during the overlap both secrets verify, after it only the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.Options{})
	r := &receiver{}
	old := w.create(webhook.Definition{Name: "ops", URL: w.serve(r)}).Secret.Reveal()
	defer w.run(loopback())()
	both, err := w.svc.RotateWebhook(t.Context(), w.us, "ops", time.Hour)
	w.must(err)
	send := func() got {
		n := r.count()
		_, err := w.svc.TestWebhook(t.Context(), w.us, "ops")
		w.must(err)
		w.eventually("a test", func() bool { return r.count() > n })
		return r.all()[n]
	}
	g := send()
	if w.verify(old, g) != nil || w.verify(both.Secret.Reveal(), g) != nil {
		t.Error("in the overlap:", g.header)
	}
	last, err := w.svc.RotateWebhook(t.Context(), w.us, "ops", 0)
	w.must(err)
	g = send()
	if w.verify(old, g) == nil || w.verify(both.Secret.Reveal(), g) == nil || w.verify(last.Secret.Reveal(), g) != nil {
		t.Error("after it:", g.header)
	}
	g.body += " "
	if w.verify(last.Secret.Reveal(), g) == nil {
		t.Error("a changed body verifies")
	}
}

// TestResendAndReplay: with the ids that the receiver knows.
func TestResendAndReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.Options{})
	r := &receiver{rule: status(404)}
	begin := time.Now().Add(-time.Second)
	w.create(webhook.Definition{Name: "ops", URL: w.serve(r), Events: []string{"job.*"}})
	stop := w.run(loopback())
	defer func() { stop() }()
	w.cancel(job.Spec{VMPath: "/a"})
	w.eventually("dead letters", func() bool { return len(w.deliveries("ops", webhook.Dead)) == 2 })
	r.set(nil)
	dead := w.deliveries("ops", webhook.Dead)
	_, err := w.svc.ResendDelivery(t.Context(), w.us, "ops", dead[0].ID)
	w.must(err)
	w.eventually("the one", func() bool { return len(w.deliveries("ops", webhook.Delivered)) == 1 })
	_, err = w.svc.DisableWebhook(t.Context(), w.us, "ops")
	w.must(err)
	w.cancel(job.Spec{VMPath: "/missed"})
	_, err = w.svc.EnableWebhook(t.Context(), w.us, "ops")
	w.must(err)
	n, err := w.svc.ReplayWebhook(t.Context(), w.us, "ops", begin)
	w.must(err)
	if n != 4 {
		t.Errorf("%d replayed", n)
	}
	w.eventually("all", func() bool { return len(w.deliveries("ops", webhook.Delivered)) == 4 })
	ids := map[string]int{}
	for _, g := range r.all() {
		ids[g.id]++
	}
	for _, d := range dead {
		if ids[d.ID] < 2 {
			t.Errorf("%s came %d times", d.ID, ids[d.ID])
		}
	}
	if len(ids) != 4 {
		t.Errorf("%v", ids)
	}
	if got := w.events(); !slices.Equal(got, []string{"created", "resent", "disabled", "enabled", "replayed"}) {
		t.Errorf("%v", got)
	}
	if n, err = w.svc.ReplayWebhook(t.Context(), w.us, "ops", time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Error(n, err)
	}
}
