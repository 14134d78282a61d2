package graph

import (
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
	if c.principal.IdempotencyKey() != "" && several(op.Operation) {
		g.refuse(w, r, errOneKey)
		return
	}
	answers := g.run(ctx, op)
	defer func() {
		stop()
		for range answers { // until it is closed
		}
	}()
	s := stream.SSE{W: w, Limit: stream.WriteTime}
	if s.Open(r, ":\n\n") != nil {
		return
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		select {
		case response, more := <-answers:
			if cause := ended(ctx); !more && cause != nil {
				_ = s.Message("", "next", &graphql.Response{Errors: gqlerror.List{g.present(ctx, cause)}})
			} else if !more && ctx.Err() != nil {
				return // the daemon stops, or the client is gone
			}
			if !more {
				_ = s.Write("event: complete\ndata:\n\n")
				return
			}
			if s.Message("", "next", response) != nil {
				return
			}
			quiet.Reset(keepAlive)
		case <-quiet.C:
			if s.Write(":\n\n") != nil {
				return
			}
		}
	}
}
