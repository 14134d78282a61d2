package grpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	hypervisordv1 "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// method is what the door has to know of a method before its message is decoded.
type method struct {
	operation string // its name in the OpenAPI document, by which it is charged
	flow      flow
}

// schema describes the service.
var schema = hypervisordv1.File_hypervisord_v1_hypervisord_proto.Services().ByName("HypervisordService")

// unary registers a method with one answer. operation is what REST calls it.
func unary[Q any, PQ interface {
	*Q
	proto.Message
}, A proto.Message](d *Door, name protoreflect.Name, operation string, h func(ctx context.Context, p tenant.Principal, in PQ) (A, error)) {
	d.register(name, method{operation: operation}, func(ctx context.Context, c *call, s connect.ServerStream) error {
		in := PQ(new(Q))
		if err := receive(s, in); err != nil {
			return err
		}
		out, err := h(ctx, c.principal, in)
		if err != nil {
			return err
		}
		if info, ok := connect.CallInfoForServerContext(ctx); ok && c.principal.Replayed() {
			info.ResponseHeader().Set("Idempotent-Replayed", "true")
		}
		return s.Send(out)
	})
}

func (d *Door) register(name protoreflect.Name, m method, h func(ctx context.Context, c *call, s connect.ServerStream) error) {
	of := schema.Methods().ByName(name)
	spec := connect.Spec{Procedure: "/" + string(schema.FullName()) + "/" + string(name), Schema: of}
	if of.IsStreamingServer() {
		spec.StreamType = connect.StreamTypeServer
	}
	d.methods[spec.Procedure] = m
	d.server.Register(connect.Method{Spec: spec, Handler: func(ctx context.Context, _ connect.Spec, s connect.ServerStream) error {
		c, ok := ctx.Value(callKey{}).(*call)
		if !ok {
			c = &call{} // the zero Principal, which may do nothing
		}
		err := d.guarded(ctx, c, s, h)
		if err == nil || ofTransport(err) {
			return err
		}
		d.deps.Gate.Refused(ctx, c.principal, m.operation, err)
		return d.refuse(ctx, c, err)
	}})
}

// guarded answers a panic with an error that the log explains.
func (d *Door) guarded(ctx context.Context, c *call, s connect.ServerStream, h func(ctx context.Context, c *call, s connect.ServerStream) error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if gone, ok := v.(error); ok && errors.Is(gone, http.ErrAbortHandler) {
			panic(v)
		}
		what := fmt.Sprintf("%T", v) // the value may hold a secret
		if oops, ok := v.(runtime.Error); ok {
			what = oops.Error()
		}
		d.deps.Log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("request_id", c.requestID),
			slog.String("panic", what), slog.String("stack", string(debug.Stack())))
		err = fault.New(fault.Internal, "HX-INT-004", "the daemon stumbled over this request",
			"report it with the request id; the daemon's log has the rest")
	}()
	return h(ctx, c, s)
}

// ofTransport tells whether connect made the error: then it has its code, and there
// is nothing to log.
func ofTransport(err error) bool {
	_, ours := errors.AsType[*fault.Error](err)
	_, theirs := errors.AsType[*connect.Error](err)
	return theirs && !ours
}
