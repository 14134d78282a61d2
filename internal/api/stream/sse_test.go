package stream_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/stream"
)

// A stream that says nothing for longer than one write may take goes on, over
// HTTP/2 too.
func TestQuietStreamGoesOn(t *testing.T) {
	t.Parallel()
	for _, two := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := &stream.SSE{W: w, Limit: 20 * time.Millisecond}
			if s.Open(r, "retry: 1\n\n") != nil {
				return
			}
			<-time.After(100 * time.Millisecond)
			_ = s.Message("7", "x", map[string]int{"a": 1})
		}))
		server.EnableHTTP2 = two
		server.StartTLS()
		defer server.Close()
		res, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if want := "retry: 1\n\nid: 7\nevent: x\ndata: {\"a\":1}\n\n"; err != nil || string(text) != want || (res.ProtoMajor == 2) != two {
			t.Errorf("HTTP/%d: %q, %v", res.ProtoMajor, text, err)
		}
		_ = res.Body.Close()
	}
}
