package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// protocol is the subprotocol, which graphql-ws and Apollo speak.
const protocol = "graphql-transport-ws"

const (
	initTime      = 5 * time.Second // until connection_init
	idleTime      = 5 * time.Minute // without an operation
	maxOperations = 20              // at once on one connection
)

// The types of messages.
const (
	msgInit      = "connection_init"
	msgAck       = "connection_ack"
	msgPing      = "ping"
	msgPong      = "pong"
	msgSubscribe = "subscribe"
	msgNext      = "next"
	msgError     = "error"
	msgComplete  = "complete"
)

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// answerMessage is a message whose payload is made here.
type answerMessage struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type"`
	Payload any    `json:"payload,omitempty"`
}

// serveSocket carries one connection. A client that can set headers is
// authenticated before it is let in, a page by what connection_init holds.
func (g *Door) serveSocket(w http.ResponseWriter, r *http.Request) {
	if err := stream.SameOrigin(r); err != nil {
		g.refuse(w, r, err)
		return
	}
	c := &connection{door: g, request: r.Clone(r.Context()), active: make(map[string]*operation)}
	if stream.HasCredential(r) {
		if err := c.enter(); err != nil {
			g.refuse(w, r, err)
			return
		}
		defer c.leave()
	}
	socket, err := stream.Open(w, r, protocol)
	if err != nil {
		return // it is answered
	}
	defer socket.Close(stream.CodeInternal, "the daemon stumbled over this request") // after a panic; else it is closed
	c.socket = socket
	code, reason := stream.CodeSubprotocol, "the subprotocol is "+protocol
	if socket.Subprotocol() == protocol {
		code, reason = c.serve(r.Context())
	}
	socket.Close(code, reason)
}

// connection is one WebSocket.
type connection struct {
	door      *Door
	request   *http.Request // with the credential, wherever it came from
	socket    *stream.Socket
	principal tenant.Principal
	leave     func()

	mu     sync.Mutex
	active map[string]*operation // by id, until the client knows or wants its end
	count  int                   // of those that run
	idle   *time.Timer
	work   sync.WaitGroup
}

// enter authenticates and counts the connection.
func (c *connection) enter() (err error) {
	if c.principal, err = c.door.deps.Gate.Enter(c.request, door); err != nil {
		return err
	}
	c.leave, err = c.door.deps.Hall.Admit(c.principal)
	return err
}

// serve returns how the connection is to be closed. Nothing of it runs then.
func (c *connection) serve(ctx context.Context) (code int, reason string) {
	if err := c.init(ctx); err != nil {
		return stream.CodeOf(err)
	}
	defer c.leave()
	ctx, stop := c.door.deps.Hall.Guard(ctx, c.request, door)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer c.work.Wait()
	defer cancel(nil)
	c.idle = time.AfterFunc(idleTime, func() { cancel(errIdle) })
	defer c.idle.Stop()
	c.work.Go(func() {
		if c.socket.KeepAlive(ctx) != nil {
			cancel(errSilent)
		}
	})
	closed := make(chan struct{})
	detach := context.AfterFunc(ctx, func() { // ends the reading below
		defer close(closed)
		c.socket.Close(closing(ctx))
	})
	defer func() {
		if !detach() {
			<-closed
		}
	}()
	for {
		var m message
		err := c.socket.Read(ctx, &m)
		if err == nil {
			err = c.handle(ctx, &m)
		}
		switch {
		case ctx.Err() != nil:
			return closing(ctx)
		case err != nil:
			return closeOf(err)
		}
	}
}

// closure is an end that has a code of its own.
type closure struct {
	code   int
	reason string
}

// Error returns the reason.
func (c *closure) Error() string { return c.reason }

var (
	errIdle   = &closure{stream.CodeDone, "nothing was asked for"}
	errSilent = &closure{stream.CodePolicy, "a ping was not answered"}
	errTwice  = &closure{stream.CodeExhausted, "Too many initialisation requests"}
	errLate   = &closure{stream.CodeInitTimeout, "Connection initialisation timeout"}
)

func closing(ctx context.Context) (int, string) { return closeOf(context.Cause(ctx)) }

func closeOf(err error) (int, string) {
	if own, ok := err.(*closure); ok { //nolint:errorlint // never wrapped
		return own.code, own.reason
	}
	return stream.CodeOf(err)
}

// init waits for connection_init and answers it.
func (c *connection) init(ctx context.Context) error {
	late := time.AfterFunc(initTime, func() { c.socket.Close(errLate.code, errLate.reason) })
	defer late.Stop()
	var m message
	if err := c.socket.Read(ctx, &m); err != nil {
		return err
	}
	if m.Type != msgInit {
		return fault.New(fault.Unauthenticated, "HX-GQL-009", "Unauthorized", "send connection_init first")
	}
	if c.leave == nil {
		if err := c.credential(m.Payload); err != nil {
			return err
		}
		if err := c.enter(); err != nil {
			return err
		}
	}
	return c.socket.Write(ctx, answerMessage{Type: msgAck})
}

// credential takes the key of a page, which cannot set headers.
func (c *connection) credential(payload json.RawMessage) error {
	var in struct {
		Authorization string `json:"Authorization"`
		APIKey        string `json:"apiKey"`
	}
	if len(payload) > 0 && json.Unmarshal(payload, &in) != nil {
		return fault.New(fault.Invalid, "HX-GQL-010", "the payload of connection_init is not an object of texts", "send apiKey in it")
	}
	switch {
	case in.APIKey != "":
		c.request.Header.Set("X-Api-Key", in.APIKey)
	case in.Authorization != "":
		c.request.Header.Set("Authorization", in.Authorization)
	}
	return nil
}

// handle does what a message asks for. An error ends the connection.
func (c *connection) handle(ctx context.Context, m *message) error {
	switch m.Type {
	case msgSubscribe:
		return c.subscribe(ctx, m)
	case msgComplete:
		c.stop(m.ID)
		return nil
	case msgPing:
		return c.socket.Write(ctx, message{Type: msgPong, Payload: m.Payload})
	case msgPong:
		return nil
	case msgInit:
		return errTwice
	}
	return fault.New(fault.Invalid, "HX-GQL-011", "there is no such message", "speak "+protocol)
}

// subscribe starts an operation.
func (c *connection) subscribe(ctx context.Context, m *message) error {
	params, err := decode(m.Payload)
	if err != nil || m.ID == "" {
		return fault.New(fault.Invalid, "HX-GQL-012", "subscribe needs an id and a payload with a query", "correct it")
	}
	ctx, cancel := context.WithCancel(withCall(ctx, &call{principal: c.principal}))
	o := &operation{id: m.ID, cancel: cancel}
	if err := c.begin(o); err != nil {
		cancel()
		return err
	}
	c.work.Go(func() {
		defer c.end(o)
		if err := fault.Protect(func() error { c.operate(ctx, o, params); return nil }); err != nil {
			c.last(ctx, o, answerMessage{ID: o.id, Type: msgError, Payload: gqlerror.List{c.door.present(ctx, err)}})
		}
	})
	return nil
}

// operation is one that runs.
type operation struct {
	id     string
	cancel context.CancelFunc
}

// begin notes the operation.
func (c *connection) begin(o *operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.active[o.id] != nil:
		return &closure{stream.CodeConflict, "Subscriber for " + o.id + " already exists"}
	case c.count >= maxOperations:
		return fault.New(fault.Exhausted, "HX-GQL-013", "too many operations at once", "complete some")
	}
	c.active[o.id] = o
	c.count++
	c.idle.Stop()
	return nil
}

func (c *connection) end(o *operation) {
	o.cancel()
	c.release(o)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count--; c.count == 0 {
		c.idle.Reset(idleTime)
	}
}

// release makes the id free: the client may use it for another operation.
func (c *connection) release(o *operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active[o.id] == o {
		delete(c.active, o.id)
	}
}

// operate sends what an operation answers. A client that does not read is closed.
func (c *connection) operate(ctx context.Context, o *operation, params *graphql.RawParams) {
	g := c.door
	op, failed := g.exec.CreateOperationContext(ctx, params)
	if failed != nil {
		response := g.exec.DispatchError(graphql.WithOperationContext(ctx, op), failed)
		c.last(ctx, o, answerMessage{ID: o.id, Type: msgError, Payload: response.Errors})
		return
	}
	answers := g.run(ctx, op)
	for response := range answers {
		if response.Data == nil && len(response.Errors) > 0 { // nothing was executed, or the stream failed
			c.last(ctx, o, answerMessage{ID: o.id, Type: msgError, Payload: response.Errors})
			o.cancel()
			for range answers { // until it is closed
			}
			return
		}
		c.send(ctx, answerMessage{ID: o.id, Type: msgNext, Payload: response})
	}
	c.last(ctx, o, answerMessage{ID: o.id, Type: msgComplete})
}

// stop ends an operation that the client wants no more of.
func (c *connection) stop(id string) {
	c.mu.Lock()
	o := c.active[id]
	c.mu.Unlock()
	if o != nil {
		c.release(o)
		o.cancel()
	}
}

// last sends the message that makes an id free: when the client has it, it is.
func (c *connection) last(ctx context.Context, o *operation, m answerMessage) {
	c.release(o)
	c.send(ctx, m)
}

func (c *connection) send(ctx context.Context, m answerMessage) {
	if ctx.Err() == nil {
		_ = c.socket.Write(ctx, m) // an error closes the connection, and the reader notices
	}
}
