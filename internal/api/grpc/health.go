package grpc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The standard health service, which load balancers and orchestrators ask. It is
// open to everybody, as /readyz is.
const (
	healthService = "grpc.health.v1.Health"
	watchPath     = "/" + healthService + "/Watch"
)

// The states of a service.
const (
	serving        protoreflect.EnumNumber = 1
	notServing     protoreflect.EnumNumber = 2
	serviceUnknown protoreflect.EnumNumber = 3
)

// Bounds of watching: how often the state is looked at, how long an answer holds
// for everybody, and how many may watch.
const (
	healthEvery = 5 * time.Second
	healthHolds = time.Second
	maxWatchers = 256
)

// health knows whether the daemon takes requests.
type health struct {
	ready    func(ctx context.Context) bool
	every    time.Duration
	watchers atomic.Int64

	mu  sync.Mutex
	at  time.Time
	was bool
}

// state returns the state now, at most healthHolds old: however many ask, the
// checks run once.
func (h *health) state(ctx context.Context) protoreflect.EnumNumber {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.at) >= healthHolds {
		h.was, h.at = h.ready(context.WithoutCancel(ctx)), now
	}
	if h.was {
		return serving
	}
	return notServing
}

func (d *Door) routeHealth() {
	for _, of := range []protoreflect.MethodDescriptor{healthMethod("Check"), healthMethod("Watch")} {
		spec := connect.Spec{Procedure: "/" + healthService + "/" + string(of.Name()), Schema: of}
		h := d.checkHealth
		if of.IsStreamingServer() {
			spec.StreamType, h = connect.StreamTypeServer, d.watchHealth
		}
		d.server.Register(connect.Method{Spec: spec, Handler: func(ctx context.Context, _ connect.Spec, s connect.ServerStream) error {
			err := h(ctx, s, of)
			if err == nil || ofTransport(err) {
				return err
			}
			return d.refuse(ctx, &call{}, err)
		}})
	}
}

// asked reads the request, and tells whether it names a service of this door.
func asked(s connect.ServerStream, of protoreflect.MethodDescriptor) (service string, known bool, err error) {
	in := dynamicpb.NewMessage(of.Input())
	if err := receive(s, in); err != nil {
		return "", false, err
	}
	service = in.Get(of.Input().Fields().ByNumber(1)).String()
	return service, service == "" || service == string(schema.FullName()), nil
}

func tell(s connect.ServerStream, of protoreflect.MethodDescriptor, state protoreflect.EnumNumber) error {
	out := dynamicpb.NewMessage(of.Output())
	out.Set(of.Output().Fields().ByNumber(1), protoreflect.ValueOfEnum(state))
	return s.Send(out)
}

func (d *Door) checkHealth(ctx context.Context, s connect.ServerStream, of protoreflect.MethodDescriptor) error {
	service, known, err := asked(s, of)
	if err != nil {
		return err
	}
	if !known {
		return fault.Newf(fault.NotFound, "HX-GRPC-012", "ask for "+string(schema.FullName())+`, or ""`, "there is no service %.100q", service)
	}
	return tell(s, of, d.health.state(ctx))
}

// watchHealth tells the state, and then each change of it.
func (d *Door) watchHealth(ctx context.Context, s connect.ServerStream, of protoreflect.MethodDescriptor) error {
	_, known, err := asked(s, of)
	if err != nil {
		return err
	}
	defer d.health.watchers.Add(-1)
	if d.health.watchers.Add(1) > maxWatchers {
		return fault.Newf(fault.Exhausted, "HX-GRPC-013", "ask by Check", "%d clients watch", maxWatchers)
	}
	tick := time.NewTicker(d.health.every)
	defer tick.Stop()
	stops := false
	for told := protoreflect.EnumNumber(0); ; {
		state := serviceUnknown
		if known {
			state = d.health.state(ctx)
		}
		if stops {
			state = notServing
		}
		if state != told {
			if err := tell(s, of, state); err != nil {
				return err
			}
			told = state
		}
		if stops {
			return errStopping
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.stopping:
			stops = true
		case <-tick.C:
		}
	}
}

// healthFile describes the service. It is in no registry: the program may hold the
// generated one, too.
var healthFile = func() protoreflect.FileDescriptor {
	message := func(name, field string, t descriptorpb.FieldDescriptorProto_Type, typeName *string) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: []*descriptorpb.FieldDescriptorProto{{
			Name: &field, Number: new(int32(1)), Type: &t, TypeName: typeName, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}
	}
	status := &descriptorpb.EnumDescriptorProto{Name: new("ServingStatus")}
	for number, name := range []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"} {
		status.Value = append(status.Value, &descriptorpb.EnumValueDescriptorProto{Name: &name, Number: new(int32(number))})
	}
	out := message("HealthCheckResponse", "status", descriptorpb.FieldDescriptorProto_TYPE_ENUM, new(".grpc.health.v1.HealthCheckResponse.ServingStatus"))
	out.EnumType = []*descriptorpb.EnumDescriptorProto{status}
	in, answer := new(".grpc.health.v1.HealthCheckRequest"), new(".grpc.health.v1.HealthCheckResponse")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("grpc/health/v1/health.proto"), Package: new("grpc.health.v1"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{message("HealthCheckRequest", "service", descriptorpb.FieldDescriptorProto_TYPE_STRING, nil), out},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Health"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: new("Check"), InputType: in, OutputType: answer},
			{Name: new("Watch"), InputType: in, OutputType: answer, ServerStreaming: new(true)},
		}}},
	}, nil)
	if err != nil {
		panic(fmt.Sprintf("the health service: %v", err)) // a constant
	}
	return file
}()

func healthMethod(name protoreflect.Name) protoreflect.MethodDescriptor {
	return healthFile.Services().ByName("Health").Methods().ByName(name)
}
