package grpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// call is what is known of a call when its message is decoded.
type call struct {
	principal tenant.Principal
	requestID string
	enter     func() error          // asks the gate again
	failed    func(kind fault.Kind) // tells the log and the metrics, which see HTTP's 200; may be nil
}

func (c *call) tell(kind fault.Kind) {
	if c.failed != nil {
		c.failed(kind)
	}
}

// callKey carries the call over the one hop from ServeHTTP through connect to the
// method, which gets it as an argument; nothing else looks into the context.
type callKey struct{}

// ServeHTTP answers one call. The order holds for all: authenticate, charge, read
// the message, judge it.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, private := d.methods[r.URL.Path]
	out := newAnswer(w, m.flow, d.write)
	handler := d.handlers.of(r.URL.Path)
	if !private { // health, reflection, and what is not there
		if out.flow = eager; r.URL.Path == watchPath {
			out.flow = live
		}
		if err := d.admitStranger(w, r); err != nil {
			_ = d.refusals.Write(out, r, d.refuse(r.Context(), &call{requestID: gate.RequestID(r.Context())}, err)) // as below
			return
		}
		handler.ServeHTTP(out, r)
		return
	}
	c := &call{requestID: gate.RequestID(r.Context())}
	if log, ok := w.(interface{ Failed(kind fault.Kind) }); ok {
		c.failed = log.Failed
	}
	if err := d.admit(w, r, m, c); err != nil {
		_ = d.refusals.Write(out, r, d.refuse(r.Context(), c, err)) // the client is gone: nobody to tell
		return
	}
	handler.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// handlers are connect's, by procedure, and by service for procedures that there are
// none of. It is a mux that matches nothing: that was done on the way here.
type handlers map[string]http.Handler

// Handle implements connecthttp.ServeMux.
func (h handlers) Handle(pattern string, handler http.Handler) { h[pattern] = handler }

func (h handlers) of(path string) http.Handler {
	if handler, ok := h[path]; ok {
		return handler
	}
	if handler, ok := h[path[:strings.LastIndexByte(path, '/')+1]]; ok {
		return handler
	}
	return http.NotFoundHandler()
}

// admit lets a caller in and reads the body.
func (d *Door) admit(w http.ResponseWriter, r *http.Request, m method, c *call) (err error) {
	if c.principal, err = d.deps.Gate.Enter(r, name); err != nil {
		strikes := d.deps.Gate.Strikes(r)
		strikes.Set(w.Header())
		if fault.Is(err, fault.Exhausted) {
			return &limitError{err, max(strikes.Reset, time.Second)}
		}
		return err
	}
	c.enter = func() error {
		_, err := d.deps.Gate.Again(r, name)
		return err
	}
	allowance, err := d.deps.Gate.Charge(r.Context(), c.principal, m.operation)
	allowance.Set(w.Header())
	if err != nil {
		return &limitError{err, max(allowance.Reset, time.Second)}
	}
	if gate.Changes(m.operation) {
		c.principal = c.principal.Keyed(r.Header.Get(headerKey))
	}
	return readBody(w, r, d.body)
}

// admitStranger takes a turn of the client's for what is open to all.
func (d *Door) admitStranger(w http.ResponseWriter, r *http.Request) error {
	allowance, err := d.deps.Gate.Stranger(r)
	allowance.Set(w.Header())
	if err != nil {
		return &limitError{err, max(allowance.Reset, time.Second)}
	}
	return nil
}

// envelope is what gRPC puts in front of a message.
const envelope = 5

// readBody puts the whole body into memory, within a time: a slow client holds
// nothing but its connection.
func readBody(w http.ResponseWriter, r *http.Request, within time.Duration) error {
	stop, err := limitBody(w, r, within)
	if err != nil {
		return errGone(err)
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage+envelope))
	late := !stop()
	var (
		large *http.MaxBytesError
		slow  net.Error
	)
	switch {
	case errors.As(err, &large):
		return errTooLarge(err)
	case err != nil && late, errors.As(err, &slow) && slow.Timeout():
		return fault.Wrap(err, fault.Timeout, "HX-API-004", "the message did not arrive in time", "send it faster")
	case err != nil:
		return errGone(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// limitBody ends the body of a client that is slow. stop lifts the limit, and tells
// whether it came in time. An HTTP/1 server has to lift its deadline, or it takes the
// client for one that hung up; an HTTP/2 server would have to be asked twice by its
// one goroutine for a connection, and ends a body from outside.
func limitBody(w http.ResponseWriter, r *http.Request, within time.Duration) (stop func() bool, err error) {
	if r.ProtoMajor >= 2 {
		return time.AfterFunc(within, func() { _ = r.Body.Close() }).Stop, nil
	}
	control := http.NewResponseController(w)
	set := func(t time.Time) error {
		if err := control.SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return nil
	}
	return func() bool {
		_ = set(time.Time{}) // the connection is gone: the answer will tell
		return true
	}, set(time.Now().Add(within))
}

func errGone(err error) error {
	return fault.Wrap(err, fault.Cancelled, "HX-API-010", "the connection is gone", "")
}

func errTooLarge(err error) error {
	return fault.Wrap(err, fault.Invalid, "HX-GRPC-002", "the message is larger than 1 MiB", "submit in parts")
}

// receive reads the one message of a call strictly: a field that this version does
// not know is refused, as an unknown key is elsewhere.
func receive(s connect.ServerStream, in proto.Message) error {
	err := s.Receive(in)
	switch connect.CodeOf(err) {
	case connect.CodeResourceExhausted:
		return errTooLarge(err)
	case connect.CodeInvalidArgument:
		return fault.Wrap(err, fault.Invalid, "HX-GRPC-001", "the message cannot be decoded", "compare it with the proto files, or ask the reflection service")
	}
	if err != nil {
		return err
	}
	return refuseUnknown(in.ProtoReflect())
}
