package graph

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// keepAlive is the longest silence of a stream.
const keepAlive = 15 * time.Second

// serveEvents answers by server-sent events, as the protocol graphql-sse says of
// distinct connections: each answer is a message `next`, the last one `complete`.
// A stream that breaks off without it is not whole.
func (g *Door) serveEvents(w http.ResponseWriter, r *http.Request, c *call, params *graphql.RawParams) {
	leave, err := g.deps.Hall.Admit(c.principal)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	defer leave()
	ctx, stop := g.deps.Hall.Guard(withCall(r.Context(), c), r, door)
	defer stop()
	op, failed := g.exec.CreateOperationContext(ctx, params)
	if failed != nil {
		response := g.exec.DispatchError(graphql.WithOperationContext(ctx, op), failed)
		g.write(w, r, kinds[fault.KindNamed(kindOf(response))].status, response)
		return
	}
	answers := g.run(ctx, op)
	defer func() {
		stop()
		for range answers { // until it is closed
		}
	}()
	s := sse{w: w, control: http.NewResponseController(w)}
	if s.open() != nil {
		return
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		select {
		case response, more := <-answers:
			if cause := ended(ctx); !more && cause != nil {
				_ = s.message("next", &graphql.Response{Errors: gqlerror.List{g.present(ctx, cause)}})
			} else if !more && ctx.Err() != nil {
				return // the daemon stops, or the client is gone
			}
			if !more {
				_ = s.write("event: complete\ndata:\n\n")
				return
			}
			if s.message("next", response) != nil {
				return
			}
			quiet.Reset(keepAlive)
		case <-quiet.C:
			if s.write(":\n\n") != nil {
				return
			}
		}
	}
}

// sse writes server-sent events, each with a deadline of its own.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *sse) open() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	return s.write(":\n\n")
}

func (s *sse) message(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.write("event: " + name + "\ndata: " + string(text) + "\n\n")
}

func (s *sse) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(stream.WriteTime)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	return s.control.SetWriteDeadline(time.Time{}) // HTTP/2 would end the stream at it, whether anything is written or not
}
