package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const (
	maxBody = 1 << 20          // bytes
	bodyIn  = 10 * time.Second // for the body to arrive
	answer  = 30 * time.Second // for an operation in all
)

// call is one request as its resolvers see it.
type call struct {
	principal tenant.Principal // knows the idempotency key of the header

	mu        sync.Mutex
	allowance gate.Allowance // the smallest of those that root fields left

	sources sync.WaitGroup // of subscriptions
	failed  error          // why one of them ended; read it when sources are done
}

// callKey carries the call to the resolvers, which gqlgen does not hand over
// otherwise; nothing else looks into the context.
type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return graphql.StartOperationTrace(context.WithValue(ctx, callKey{}, c)) // the executor panics without
}

// callOf returns the call; one of the zero Principal, which may do nothing, if
// there is none.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// overLimit is a root field that was refused by the rate limit.
//
//nolint:errname // it is what a field was refused for
type overLimit struct {
	error
	after int // seconds
}

// Unwrap leads to the fault.
func (o *overLimit) Unwrap() error { return o.error }

// charge implements @operation: a root field costs what the operation costs by
// every door. What a resolver returns is marked as its own.
func (g *Door) charge(ctx context.Context, _ any, next graphql.Resolver, id string) (any, error) {
	c := callOf(ctx)
	left, err := g.deps.Gate.Charge(ctx, c.principal, id)
	c.mu.Lock()
	if left.Limit > 0 && (c.allowance.Limit == 0 || left.Remaining < c.allowance.Remaining) {
		c.allowance = left
	}
	c.mu.Unlock()
	if fault.Is(err, fault.Exhausted) {
		return nil, resolved{&overLimit{error: err, after: max(1, int((left.Reset+time.Second-1)/time.Second))}}
	}
	if err != nil {
		return nil, resolved{err}
	}
	out, err := next(ctx)
	if err != nil {
		g.deps.Gate.Refused(ctx, c.principal, id, err)
		return nil, resolved{err}
	}
	return out, nil
}

// servePost answers one request by JSON, or by server-sent events.
func (g *Door) servePost(w http.ResponseWriter, r *http.Request) {
	p, err := g.deps.Gate.Enter(r, door)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	params, err := read(w, r)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	c := &call{principal: p.Keyed(r.Header.Get("Idempotency-Key"))}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		g.serveEvents(w, r, c, params)
		return
	}
	ctx, cancel := context.WithTimeout(withCall(r.Context(), c), answer)
	defer cancel()
	op, failed := g.exec.CreateOperationContext(ctx, params)
	if failed == nil && op.Operation.Operation == ast.Subscription {
		g.refuse(w, r, errOneAnswer)
		return
	}
	if failed == nil && c.principal.IdempotencyKey() != "" && several(op.Operation) {
		g.refuse(w, r, errOneKey)
		return
	}
	if failed != nil {
		response := g.exec.DispatchError(graphql.WithOperationContext(ctx, op), failed)
		g.write(w, r, kinds[fault.KindNamed(kindOf(response))].status, response)
		return
	}
	responses, ctx := g.exec.DispatchOperation(ctx, op)
	response := responses(ctx)
	c.allowance.Set(w.Header())
	if c.principal.Replayed() {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	g.write(w, r, http.StatusOK, response)
}

// several tells whether an operation may hold more than one mutation. What fragments
// bring counts as several: nobody needs them for one field.
func several(op *ast.OperationDefinition) bool {
	if op.Operation != ast.Mutation {
		return false
	}
	_, field := op.SelectionSet[0].(*ast.Field)
	return len(op.SelectionSet) > 1 || !field
}

// kindOf is the kind of the first error.
func kindOf(response *graphql.Response) string {
	for _, e := range response.Errors {
		if kind, ok := e.Extensions["kind"].(string); ok {
			return kind
		}
	}
	return ""
}

// read reads and decodes the body.
func read(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, errMediaType // never a form: a page of another origin can send one
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyIn)) // not supported: the server's own holds
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.Header().Set("Connection", "close")
		return nil, whyUnread(err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return decode(body)
}

func whyUnread(err error) error {
	var slow net.Error
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return errLarge
	}
	if errors.As(err, &slow) && slow.Timeout() {
		return errSlow
	}
	return errBroken
}

func decode(body []byte) (*graphql.RawParams, error) {
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		return nil, errBatch
	}
	var in struct {
		Query         string          `json:"query"`
		OperationName string          `json:"operationName"`
		Variables     map[string]any  `json:"variables"`
		Extensions    json.RawMessage `json:"extensions"` // nothing of it is known
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, errBody
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) || !distinct(body) {
		return nil, errBody
	}
	return &graphql.RawParams{Query: in.Query, OperationName: in.OperationName, Variables: in.Variables}, nil
}
