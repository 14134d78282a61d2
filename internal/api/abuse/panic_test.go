package abuse_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
)

// TestPanics: by each door, a panic of what it calls is an error of ours with an id
// that the log explains, without the value; and the daemon lives.
func TestPanics(t *testing.T) {
	w := newWorld(t)
	c := w.us.from(t, "127.6.0.1")
	subscribe := `subscription{jobUpdates(id:\"` + w.us.job + `\"){id}}`
	doors := map[string]struct {
		call func() string
		want string
	}{
		"REST":         {func() string { return c.rest("GET", "/vms", "") }, "500 HX-INT-004"},
		"REST, a body": {func() string { return c.rest("POST", "/jobs/submit", `{"vm_path":"/x"}`) }, "500 HX-INT-004"},
		"SSE of a job": {func() string { return c.broken("/jobs/" + w.us.job + "/events") }, "cut off"},
		"SSE of all":   {func() string { return c.broken("/events") }, "cut off"},
		"WebSocket":    {func() string { return closedBy(c, c.openSocket("/ws", "")) }, "1011"},
		"gRPC":         {func() string { return c.rpc("ListVMs", &pb.ListVMsRequest{}, &pb.ListVMsResponse{}) }, "Internal HX-INT-004"},
		"gRPC, a stream": {func() string {
			return c.follow("StreamJobUpdates", &pb.JobID{Id: w.us.job})
		}, "Internal HX-INT-004"},
		"gRPC, the stream of all": {func() string { return c.follow("StreamEvents", &pb.StreamEventsRequest{}) }, "Internal HX-INT-004"},
		"GraphQL":                 {func() string { return c.graph("{vms{name}}", nil) }, "200 HX-INT-004"},
		"GraphQL, a mutation": {func() string {
			return c.graph(`mutation{submitJob(input:{vmPath:"/x"}){id}}`, nil)
		}, "200 HX-INT-004"},
		"GraphQL, SSE": {func() string {
			return codeIn(c.do("POST", "/graphql", `{"query":"`+subscribe+`"}`, "Accept", "text/event-stream").body)
		}, "HX-INT-005"},
		"GraphQL, a socket": {func() string {
			s := c.openSocket("/graphql", "graphql-transport-ws")
			defer func() { _ = s.CloseNow() }()
			for _, m := range []string{`{"type":"connection_init"}`, `{"id":"1","type":"subscribe","payload":{"query":"` + subscribe + `"}}`} {
				must(t, s.Write(t.Context(), websocket.MessageText, []byte(m)))
			}
			for {
				_, text, err := s.Read(t.Context())
				if code := codeIn(string(text)); code != "" || err != nil {
					return code
				}
			}
		}, "HX-INT-005"},
	}
	for name, d := range doors {
		before := len(w.log.String())
		w.panics.Store(true)
		got := d.call()
		w.panics.Store(false)
		if got != d.want {
			t.Errorf("%s: %q, want %q", name, got, d.want)
		}
		explained := func() bool {
			for line := range strings.Lines(w.log.String()[before:]) {
				var e struct {
					Level     string `json:"level"`
					RequestID string `json:"request_id"`
				}
				must(t, json.Unmarshal([]byte(line), &e))
				if e.Level == "ERROR" && e.RequestID != "" && strings.Contains(line, "goroutine ") && strings.Contains(line, "world_test.go") {
					return true
				}
			}
			return false
		}
		eventually(t, name+" is explained by the log", explained)
		if got := c.rest("GET", "/vms", ""); got != "200" {
			t.Errorf("%s: afterwards %s", name, got)
		}
	}
	if strings.Contains(w.log.String(), canary) {
		t.Error("the log holds what was thrown")
	}
}

// broken tells how a stream ends.
func (c caller) broken(path string) string {
	a, err := c.try("GET", path, "")
	if err != nil {
		return "cut off"
	}
	return a.word()
}

// follow makes a call that streams, and tells how it ends.
func (c caller) follow(method string, in any) string {
	ctx, cancel := c.outgoing()
	defer cancel()
	s, err := c.world.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, procedures+method)
	if err != nil {
		return inWord(err)
	}
	if err := s.SendMsg(in); err != nil {
		return inWord(err)
	}
	if err := s.CloseSend(); err != nil {
		return inWord(err)
	}
	for {
		if err := s.RecvMsg(&pb.LogUpdate{}); err != nil {
			return inWord(err)
		}
	}
}

// codeIn is the first code of an error in a text.
func codeIn(text string) string {
	_, code, _ := strings.Cut(text, `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	return code
}
