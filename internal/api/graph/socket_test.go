package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// peer is a client of graphql-transport-ws.
type peer struct {
	w    *world
	conn *websocket.Conn
}

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// dial opens a WebSocket. headers are pairs.
func (w *world) dial(subprotocol string, headers ...string) (*peer, *http.Response, error) {
	w.t.Helper()
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, res, err := websocket.Dial(w.t.Context(), w.server.URL+"/graphql", &websocket.DialOptions{
		HTTPHeader: h, Subprotocols: []string{subprotocol}, HTTPClient: w.server.Client(),
	})
	if err == nil {
		w.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return &peer{w, conn}, res, err
}

// connect opens one with the key and is acknowledged.
func (w *world) connect() *peer {
	w.t.Helper()
	p, _, err := w.dial("graphql-transport-ws", "X-Api-Key", key)
	must(w.t, err)
	p.send(`{"type":"connection_init"}`)
	p.want("connection_ack", "")
	return p
}

func (p *peer) send(text string) {
	p.w.t.Helper()
	must(p.w.t, p.conn.Write(p.w.t.Context(), websocket.MessageText, []byte(text)))
}

func (p *peer) subscribe(id, query string) {
	p.w.t.Helper()
	p.send(`{"id":"` + id + `","type":"subscribe","payload":` + request(p.w.t, query, nil) + `}`)
}

func (p *peer) next() frame {
	p.w.t.Helper()
	_, text, err := p.conn.Read(p.w.t.Context())
	must(p.w.t, err)
	var f frame
	must(p.w.t, json.Unmarshal(text, &f))
	return f
}

// want is the payload of the next message, which must be of the type.
func (p *peer) want(kind, id string) string {
	p.w.t.Helper()
	f := p.next()
	if f.Type != kind || f.ID != id {
		p.w.t.Fatalf("got %s %s %s, want %s %s", f.Type, f.ID, f.Payload, kind, id)
	}
	return string(f.Payload)
}

// closed is the code that the connection ends with.
func (p *peer) closed() (int, string) {
	p.w.t.Helper()
	for {
		_, _, err := p.conn.Read(p.w.t.Context())
		if e, ok := errors.AsType[websocket.CloseError](err); ok {
			return int(e.Code), e.Reason
		}
		must(p.w.t, err)
	}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	p := w.connect()
	p.subscribe("1", `subscription{jobUpdates(id:"`+id+`"){status progress completedAt}}`)
	step := func(want string) {
		t.Helper()
		for { // a state may be seen twice: it is different in what is not asked for
			got := p.want("next", "1")
			if strings.Contains(got, want) {
				return
			}
			if strings.Contains(got, "COMPLETED") {
				t.Fatalf("never %s, then %s", want, got)
			}
		}
	}
	step(`{"data":{"jobUpdates":{"status":"PENDING","progress":null,"completedAt":null}}}`)
	l := w.claim()
	step(`"status":"RUNNING"`)
	w.progress(l, 50)
	step(`"progress":50`)
	p.subscribe("2", `{job(id:"`+id+`"){status}}`) // anything may be asked
	if got := p.want("next", "2"); got != `{"data":{"job":{"status":"RUNNING"}}}` {
		t.Error(got)
	}
	p.want("complete", "2")
	p.send(`{"type":"ping","payload":{"a":1}}`)
	if got := p.want("pong", ""); got != `{"a":1}` {
		t.Error(got)
	}
	w.complete(l)
	step(`"status":"COMPLETED"`)
	p.want("complete", "1")
	p.subscribe("1", `subscription{jobUpdates(id:"`+id+`"){status}}`) // the id is free again
	p.want("next", "1")
	p.want("complete", "1")
	for _, c := range []struct{ query, code string }{
		{`subscription{jobUpdates(id:"x"){id}}`, "HX-JOB-041"}, {`{nothing}`, "HX-GQL-001"},
		{"{" + strings.Repeat("status{version} ", 30) + "}", "HX-GQL-008"},
	} {
		p.subscribe("3", c.query)
		if got := p.want("error", "3"); !strings.HasPrefix(got, "[") || !strings.Contains(got, c.code) {
			t.Errorf("%s: %s", c.query, got)
		}
	}
}

// complete ends an operation, and its end is not told. The id is free at once, also
// when it was the server that ended the operation.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	p := w.connect()
	for i := range 300 {
		op := fmt.Sprint(i / 10)
		if i%2 == 1 {
			p.subscribe(op, `{status{version}}`)
			p.want("next", op)
			p.want("complete", op)
			continue
		}
		p.subscribe(op, `subscription{jobUpdates(id:"`+id+`"){status}}`)
		p.want("next", op)
		p.send(`{"id":"` + op + `","type":"complete"}`)
	}
	p.subscribe("last", `{status{version}}`)
	p.want("next", "last")
}

// The codes are those of the protocol.
func TestSocketRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	follow := `{"id":"1","type":"subscribe","payload":{"query":"subscription{jobUpdates(id:\"` + id + `\"){id}}"}}`
	many := func(p *peer) {
		for i := range 21 {
			p.send(strings.Replace(follow, `"1"`, fmt.Sprintf(`"op%d"`, i), 1))
		}
	}
	for name, c := range map[string]struct {
		send func(p *peer)
		code int
	}{
		"subscribe twice":         {func(p *peer) { p.send(follow); p.send(follow) }, 4409},
		"init twice":              {func(p *peer) { p.send(`{"type":"connection_init"}`) }, 4429},
		"many operations":         {many, 4429},
		"no JSON":                 {func(p *peer) { p.send(`{`) }, 4400},
		"unknown type":            {func(p *peer) { p.send(`{"type":"start"}`) }, 4400},
		"no id":                   {func(p *peer) { p.send(`{"type":"subscribe","payload":{"query":"{status{version}}"}}`) }, 4400},
		"a list":                  {func(p *peer) { p.send(`{"id":"1","type":"subscribe","payload":[{"query":"{status{version}}"}]}`) }, 4400},
		"a message that is large": {func(p *peer) { p.send(`{"type":"ping","payload":"` + strings.Repeat("x", 1<<20) + `"}`) }, 1009},
	} {
		p := w.connect()
		c.send(p)
		if code, reason := p.closed(); code != c.code {
			t.Errorf("%s: closed by %d %s", name, code, reason)
		}
	}
	for first, code := range map[string]int{
		follow: 4401, `{"type":"connection_init"}`: 4401, `{"type":"connection_init","payload":{"apiKey":"hvk_wrong"}}`: 4401,
		`{"type":"connection_init","payload":7}`: 4400, `x`: 4400,
	} {
		p, _, err := w.dial("graphql-transport-ws")
		must(t, err)
		p.send(first)
		if got, reason := p.closed(); got != code {
			t.Errorf("%s first: closed by %d %s", first, got, reason)
		}
	}
	for _, payload := range []string{`{"apiKey":"` + key + `"}`, `{"Authorization":"Bearer ` + key + `"}`} {
		p, _, err := w.dial("graphql-transport-ws")
		must(t, err)
		p.send(`{"type":"connection_init","payload":` + payload + `}`)
		p.want("connection_ack", "")
	}
	old, _, err := w.dial("graphql-ws", "X-Api-Key", key)
	must(t, err)
	if code, _ := old.closed(); code != 4406 {
		t.Errorf("the old subprotocol: closed by %d", code)
	}
	for _, h := range [][]string{{"X-Api-Key", "hvk_wrong"}, {"X-Api-Key", key, "Origin", "https://evil.example"}, {"Origin", "null"}} {
		if _, res, err := w.dial("graphql-transport-ws", h...); err == nil || res.StatusCode != 401 && res.StatusCode != 403 {
			t.Errorf("%v was let in: %v", h, err)
		}
	}
	if _, _, err := w.dial("graphql-transport-ws", "X-Api-Key", key, "Origin", w.server.URL); err != nil {
		t.Errorf("the own origin: %v", err)
	}
}

// A daemon that stops says so, on whichever way.
func TestStreamsEndWithTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	p := w.connect()
	p.subscribe("1", `subscription{jobUpdates(id:"`+id+`"){status}}`)
	p.want("next", "1")
	w.limiter.drain()
	body := make(chan string)
	go func() { // ended by the stop below
		defer close(body)
		body <- w.ask(`subscription{jobUpdates(id:"`+id+`"){status}}`, nil, "Accept", "text/event-stream").body
	}()
	for seen := false; !seen && t.Context().Err() == nil; { // until the second one is there
		w.ask(`{status{version}}`, nil)
		seen = slices.Contains(w.limiter.drain(), "job_events")
	}
	w.stop()
	if code, reason := p.closed(); code != 1001 {
		t.Errorf("closed by %d %s", code, reason)
	}
	if got := <-body; strings.Contains(got, "event: complete") {
		t.Errorf("the stream claims to be whole: %q", got)
	}
}

// Many streams of one caller are bounded, those of others are not touched.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 64 {
		_, _, err := w.dial("graphql-transport-ws", "X-Api-Key", key)
		must(t, err)
	}
	if _, res, err := w.dial("graphql-transport-ws", "X-Api-Key", key); err == nil || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %v", err)
	}
	k, err := w.svc.CreateKey(t.Context(), root(), tenant.Default, service.KeyRequest{Name: "other", Role: tenant.Viewer})
	must(t, err)
	if _, _, err := w.dial("graphql-transport-ws", "X-Api-Key", k.Secret.Reveal()); err != nil {
		t.Errorf("another caller: %v", err)
	}
}

func TestEventStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	l := w.claim()
	w.complete(l)
	got := w.ask(`subscription($id: ID!){jobUpdates(id:$id){status artifacts{bytes}}}`, map[string]any{"id": id}, "Accept", "text/event-stream")
	want := ":\n\nevent: next\ndata: {\"data\":{\"jobUpdates\":{\"status\":\"COMPLETED\",\"artifacts\":[{\"bytes\":5497558138880}]}}}\n\nevent: complete\ndata:\n\n"
	if got.body != want || got.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%q", got.body)
	}
	all := w.ask(`subscription($id: ID!){jobEvents(id:$id){kind data}}`, map[string]any{"id": id}, "Accept", "text/event-stream").body
	for i, kind := range []string{"job.submitted", "job.started", "job.completed", "event: complete"} {
		if parts := strings.Split(all, "\n\n"); len(parts) != 6 || !strings.Contains(parts[i+1], kind) {
			t.Errorf("no %s at its place in %q", kind, all)
		}
	}
	if got := w.ask(`{nothing}`, nil, "Accept", "text/event-stream"); got.status != 400 || got.kind() != "invalid" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.ask(`{status{version}}`, nil, "Accept", "text/event-stream"); !strings.Contains(got.body, "v0.0.0-test") || !strings.HasSuffix(got.body, "event: complete\ndata:\n\n") {
		t.Errorf("a query: %q", got.body)
	}
}
