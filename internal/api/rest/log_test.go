package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// sequenced gives events their places, as the daemon does.
func (w *world) sequenced() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.store.RunSequencer(ctx, discard) }()
	w.t.Cleanup(func() {
		stop()
		must(w.t, <-done)
	})
}

// place gives all events their places now.
func (w *world) place() {
	w.t.Helper()
	_, err := w.store.Sequence(w.t.Context(), 1000)
	must(w.t, err)
}

// log is the tenant's log as the service has it.
func (w *world) logOf(p tenant.Principal) (all []string) {
	w.t.Helper()
	updates, err := w.svc.Log(w.t.Context(), p, service.LogQuery{After: new(int64(0)), Once: true})
	must(w.t, err)
	for u, err := range updates {
		must(w.t, err)
		if u.Event != nil {
			all = append(all, fmt.Sprint(u.Event.Pos, u.Event.JobID, u.Event.Kind))
		}
	}
	return all
}

// work runs jobs to their ends, as many as rounds says.
func (w *world) work(rounds int) {
	for range rounds {
		w.submit(3)
		for range 3 {
			l := w.claim()
			w.progress(l, 50)
			w.complete(l)
		}
	}
}

// However often the connections break, and wherever, while jobs run: the stream and
// the socket tell each event of the log once, in order.
func TestLogLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.sequenced()
	w.submit(1)
	seed := rand.Uint64()
	t.Log("seed", seed)
	const last = "job.paused" // tells the readers that all is over
	ctx, giveUp := context.WithTimeout(t.Context(), 30*time.Second)
	defer giveUp()
	var readers sync.WaitGroup
	got := make([][]string, 4)
	for i := range got {
		chance := rand.New(rand.NewPCG(seed, uint64(i)))
		readers.Go(func() {
			if i%2 == 0 {
				got[i] = w.readStream(ctx, chance, last)
			} else {
				got[i] = w.readSocket(ctx, chance, last)
			}
		})
	}
	w.complete(w.claim())
	w.work(8)
	_, err := w.svc.Pause(t.Context(), root(), w.submit(1)[0], "")
	must(t, err)
	readers.Wait()
	want := w.logOf(root())
	if len(want) < 70 {
		t.Fatalf("only %d events", len(want))
	}
	for i := range got {
		if !slices.Equal(got[i], want) {
			t.Errorf("reader %d got\n%s\nwant\n%s", i, strings.Join(got[i], "\n"), strings.Join(want, "\n"))
		}
	}
}

// readStream reads GET /events from the start until a kind comes, over connections
// that it cuts after some bytes.
func (w *world) readStream(ctx context.Context, chance *rand.Rand, last string) (all []string) {
	id := "0"
	for ctx.Err() == nil && (len(all) == 0 || !strings.HasSuffix(all[len(all)-1], last)) {
		ctx, hangUp := context.WithCancel(ctx)
		res := w.get(ctx, "/events?progress=true", "Last-Event-ID", id)
		id, all = readLog(io.LimitReader(res.Body, 200+chance.Int64N(4000)), id, last, all)
		hangUp()
		_ = res.Body.Close()
	}
	return all
}

// readLog reads whole messages until the kind comes or the connection is cut.
func readLog(body io.Reader, id, last string, all []string) (string, []string) {
	lines := bufio.NewScanner(body)
	name, data, next := "", "", id
	for lines.Scan() {
		switch key, v, _ := strings.Cut(lines.Text(), ": "); key {
		case "id":
			next = v
		case "event":
			name = v
		case "data":
			data = v
		case "":
			id = next
			var e client.Event
			if strings.HasPrefix(name, "job.") && json.Unmarshal([]byte(data), &e) == nil {
				all = append(all, fmt.Sprint(e.Pos, e.JobID, e.Kind))
			}
			if name == last {
				return id, all
			}
			name = ""
		}
	}
	return id, all
}

// readSocket does the same by GET /ws, and hangs up after some messages.
func (w *world) readSocket(ctx context.Context, chance *rand.Rand, last string) (all []string) {
	pos := int64(0)
	for {
		conn, _, err := w.dial(fmt.Sprintf("?progress=true&after=%d", pos), "X-Api-Key", key)
		if err != nil {
			w.t.Error(err)
			return all
		}
		for range 1 + chance.IntN(12) {
			var m message
			if err := m.read(ctx, conn); err != nil {
				w.t.Error(err)
				return all
			}
			pos = m.Pos
			if m.Type != "event" {
				continue
			}
			all = append(all, fmt.Sprint(m.Event.Pos, m.Event.JobID, m.Event.Kind))
			if m.Event.Kind == last {
				_ = conn.CloseNow()
				return all
			}
		}
		_ = conn.CloseNow()
	}
}

// message is one of GET /ws.
type message struct {
	Type     string           `json:"type"`
	Pos      int64            `json:"pos"`
	Event    *client.Event    `json:"event"`
	JobID    string           `json:"job_id"`
	Progress *client.Progress `json:"progress"`
}

func (m *message) read(ctx context.Context, conn *websocket.Conn) error {
	_, text, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, m)
}

func (w *world) dial(query string, headers ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, res, err := websocket.Dial(w.t.Context(), w.server.URL+"/ws"+query, &websocket.DialOptions{HTTPHeader: h, HTTPClient: w.server.Client()})
	if err == nil {
		w.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, res, err
}

// get begins a request. headers are pairs.
func (w *world) get(ctx context.Context, path string, headers ...string) *http.Response {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+path, nil)
	must(w.t, err)
	req.Header.Set("X-Api-Key", key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.http.Do(req)
	must(w.t, err)
	w.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// The public client over connections that are cut after some bytes.
func TestClientFollowsTheLogOverBrokenConnections(t *testing.T) {
	w := newWorld(t)
	w.work(2)
	w.place()
	cut := &cutting{next: w.http.Transport, step: 300}
	api, err := client.New(w.server.URL, client.Options{APIKey: key, HTTPClient: &http.Client{Transport: cut}})
	must(t, err)
	var got []string
	progress := 0
	for u, err := range api.Log(t.Context(), client.LogQuery{After: new(int64(0)), Once: true, Progress: true}) {
		must(t, err)
		if u.Progress != nil {
			progress++
			continue
		}
		got = append(got, fmt.Sprint(u.Event.Pos, u.Event.JobID, u.Event.Kind))
	}
	if want := w.logOf(root()); !slices.Equal(got, want) || cut.cuts < 3 || progress > 0 {
		t.Errorf("%d cuts, %d times progress: got\n%v, want\n%v", cut.cuts, progress, got, want)
	}
}

func TestLogFilters(t *testing.T) {
	w := newWorld(t)
	d := fetchDocument(t, w.server)
	_, err := w.svc.Submit(t.Context(), root(), []job.Spec{{VMPath: "/a", Labels: map[string]string{"team": "web", "tier": "1"}}}, service.SubmitOptions{})
	must(t, err)
	other := w.submit(1)[0]
	lease := w.claim()
	w.progress(lease, 30)
	labelled := lease.Job.ID
	_, err = w.svc.CreateKey(t.Context(), root(), "", service.KeyRequest{Name: "k", Role: tenant.Viewer})
	must(t, err)
	foreign := w.tenant("foreign", tenant.Viewer)
	w.place()
	const all = "job.submitted job.submitted job.started key.created"
	for query, want := range map[string]string{
		"":                                 all,
		"&kind=job.*":                      "job.submitted job.submitted job.started",
		"&kind=job.started,key.created":    "job.started key.created",
		"&kind=nothing":                    "",
		"&job=" + other:                    "job.submitted",
		"&job=" + other + "," + labelled:   "job.submitted job.submitted job.started",
		"&label=team=web":                  "job.submitted job.started",
		"&label=team=web&label=tier=1":     "job.submitted job.started",
		"&label=team=web&label=tier=2":     "",
		"&label=team=":                     "",
		"&label=team=web&progress=true":    "job.submitted job.started progress " + labelled,
		"&kind=nothing&progress=true":      "progress " + labelled,
		"&label=team=db&progress=true":     "",
		"&job=" + other + "&progress=true": "job.submitted",
	} {
		got := w.call("GET", "/events?once=true&after=0"+query, "")
		var kinds []string
		for m := range strings.SplitSeq(got.body, "\n\n") {
			switch name := field(m, "event"); name {
			case "", "ready", "end":
			case "progress":
				must(t, d.validate([]byte(field(m, "data")), "components", "schemas", "LogProgress"))
				var p struct {
					JobID string `json:"job_id"`
				}
				must(t, json.Unmarshal([]byte(field(m, "data")), &p))
				kinds = append(kinds, name, p.JobID)
			default:
				must(t, d.validate([]byte(field(m, "data")), "components", "schemas", "Event"))
				kinds = append(kinds, name)
			}
		}
		if strings.Join(kinds, " ") != want || !strings.HasSuffix(got.body, "event: end\ndata: {}\n\n") {
			t.Errorf("%s: %v, want %s", query, kinds, want)
		}
		conn, _, err := w.dial("?once=true&after=0"+query, "X-Api-Key", key)
		must(t, err)
		kinds = nil
		for m := (message{}); m.Type != "end"; {
			m = message{}
			_, text, err := conn.Read(t.Context())
			must(t, err)
			must(t, d.validate(text, "components", "schemas", "SocketMessage"))
			must(t, json.Unmarshal(text, &m))
			switch {
			case m.Event != nil:
				kinds = append(kinds, m.Event.Kind)
			case m.Progress != nil:
				kinds = append(kinds, m.Type, m.JobID)
			}
		}
		if strings.Join(kinds, " ") != want {
			t.Errorf("socket %s: %v, want %s", query, kinds, want)
		}
	}
	// A viewer of another tenant sees its own jobs, and not who manages keys.
	got := w.call("GET", "/events?once=true&after=0", "", "X-Api-Key", foreign.secret)
	if strings.Contains(got.body, "key.") || strings.Contains(got.body, "tenant.") || strings.Contains(got.body, labelled) || !strings.Contains(got.body, foreign.job) || !strings.Contains(got.body, "schedule.created") {
		t.Error(got.body)
	}
}

func TestLogRefuses(t *testing.T) {
	w := newWorld(t)
	w.submit(1)
	w.place()
	for query, status := range map[string]int{
		"after=2": 409, "after=99999999999999999999": 400, "after=-1": 400, "after=x": 400, "label=x": 400, "kind=" + strings.Repeat("a,", 101): 400, "unknown=1": 400,
	} {
		if got := w.call("GET", "/events?"+query, ""); got.status != status {
			t.Errorf("%s: %+v", query, got)
		}
		if query == "unknown=1" {
			continue
		}
		conn, _, err := w.dial("?"+query, "X-Api-Key", key)
		must(t, err)
		if code := closed(t, conn); code != 4400 && code != 4409 {
			t.Errorf("socket %s: closed by %d", query, code)
		}
	}
	if got := w.call("GET", "/events?once=true", "", "Last-Event-ID", "9"); got.status != 409 || got.problem(t).Code != "HX-EVENT-002" {
		t.Errorf("%+v", got)
	}
}

// closed is the code that a socket ends with.
func closed(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	for {
		_, _, err := conn.Read(t.Context())
		if e, ok := errors.AsType[websocket.CloseError](err); ok {
			return int(e.Code)
		}
		must(t, err)
	}
}

func TestSocketRules(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		headers []string
		send    string
		code    int
	}{
		"a page with the key":     {nil, `{"type":"auth","api_key":"` + key + `"}`, 0},
		"a page with a wrong key": {nil, `{"type":"auth","api_key":"x"}`, 4401},
		"a page that says no key": {nil, `{"type":"hello"}`, 4401},
		"no JSON":                 {nil, `x`, 4400},
		"messages afterwards":     {[]string{"X-Api-Key", key}, `{}`, 4400},
	} {
		conn, _, err := w.dial("", c.headers...)
		must(t, err)
		must(t, conn.Write(t.Context(), websocket.MessageText, []byte(c.send)))
		if c.code == 0 {
			var m message
			if err := m.read(t.Context(), conn); err != nil || m.Type != "ready" {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			continue
		}
		if got := closed(t, conn); got != c.code {
			t.Errorf("%s: closed by %d", name, got)
		}
	}
	for _, h := range [][]string{{"X-Api-Key", "x"}, {"X-Api-Key", key, "Origin", "https://evil.example"}} {
		if _, res, err := w.dial("", h...); err == nil || res.StatusCode != 401 && res.StatusCode != 403 {
			t.Errorf("%v was let in: %v", h, err)
		}
	}
	conn, _, err := w.dial("", "Authorization", "Bearer "+key)
	must(t, err)
	res := w.get(t.Context(), "/events")
	w.stop()
	if got := closed(t, conn); got != 1001 {
		t.Errorf("a stop closes by %d", got)
	}
	if text, err := io.ReadAll(res.Body); err != nil || strings.Contains(string(text), "event: end") {
		t.Errorf("the stream claims to be whole: %q, %v", text, err)
	}
}
