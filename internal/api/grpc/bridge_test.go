package grpc

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// bridged are the nouns that the bridge copies as a whole, and their messages.
var bridged = []struct {
	noun    any
	message proto.Message
}{
	{job.Job{}, &pb.Job{}},
	{job.Spec{}, &pb.JobRequest{}},
	{job.Progress{}, &pb.Progress{}},
	{event.Event{}, &pb.Event{}},
	{schedule.Schedule{}, &pb.Schedule{}},
	{schedule.Run{}, &pb.ScheduleRun{}},
	{tenant.Key{}, &pb.APIKey{}},
	{tenant.Usage{}, &pb.UsageMonth{}},
	{node.Node{}, &pb.Node{}},
	{provider.VM{}, &pb.VM{}},
	{webhook.Webhook{}, &pb.Webhook{}},
	{webhook.Delivery{}, &pb.Delivery{}},
}

// Every field of a noun that the API shows has its counterpart, and every field of a
// message comes from somewhere.
func TestNothingIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, b := range bridged {
		compare(t, reflect.TypeOf(b.noun), b.message.ProtoReflect().Descriptor(), map[reflect.Type]bool{})
	}
}

func compare(t *testing.T, noun reflect.Type, md protoreflect.MessageDescriptor, seen map[reflect.Type]bool) {
	t.Helper()
	if seen[noun] {
		return
	}
	seen[noun] = true
	shown := map[protoreflect.Name]bool{"request_id": md.Name() == "JobRequest"}
	for _, f := range reflect.VisibleFields(noun) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		shown[protoreflect.Name(name)] = true
		fd := md.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			t.Errorf("%s.%s (%s) has no field in message %s: add it to api/proto and run make proto", noun, f.Name, name, md.Name())
			continue
		}
		if got, want := kindOf(fd), kindOfGo(f.Type); got != want {
			t.Errorf("%s.%s is %s, %s.%s is %s", noun, f.Name, want, md.Name(), name, got)
			continue
		}
		if inner := innermost(f.Type); inner.Kind() == reflect.Struct && inner != timeType {
			compare(t, inner, fd.Message(), seen)
		}
	}
	for i := range md.Fields().Len() {
		if name := md.Fields().Get(i).Name(); !shown[name] {
			t.Errorf("%s.%s comes from no field of %s", md.Name(), name, noun)
		}
	}
}

func innermost(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// kindOf and kindOfGo put both into the same words.
func kindOf(fd protoreflect.FieldDescriptor) string {
	one := fd.Kind().String()
	switch fd.Kind() {
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		one = "int"
	case protoreflect.MessageKind:
		if one = "struct"; fd.Message().FullName() == "google.protobuf.Timestamp" {
			one = "time"
		}
	}
	switch {
	case fd.IsMap():
		return "map of " + kindOf(fd.MapValue())
	case fd.IsList():
		return "list of " + one
	}
	return one
}

func kindOfGo(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOfGo(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "list of " + kindOfGo(t.Elem())
	case reflect.Map:
		return "map of " + kindOfGo(t.Elem())
	case reflect.Struct:
		if t == timeType {
			return "time"
		}
		return "struct"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	case reflect.Float64:
		return "double"
	default:
		return t.Kind().String()
	}
}

// What a message carries is what it was made of: every field of every noun, filled;
// and a pointer to nothing much is not no pointer.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, b := range bridged {
		full, empty := reflect.New(reflect.TypeOf(b.noun)), reflect.New(reflect.TypeOf(b.noun))
		fill(full.Elem(), 1)
		point(empty.Elem())
		roundTrip(t, full, b.message)
		roundTrip(t, empty, b.message.ProtoReflect().New().Interface())
	}
}

func roundTrip(t *testing.T, want reflect.Value, empty proto.Message) {
	t.Helper()
	m := toPB(want.Interface(), empty)
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	back := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(wire, back); err != nil {
		t.Fatal(err)
	}
	got := reflect.New(want.Type().Elem())
	if err := fromPB(back, got.Interface()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Errorf("%s: got %+v, want %+v", want.Type(), got.Elem(), want.Elem())
	}
}

// point gives each pointer a zero value to point to.
func point(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		point(v.Elem())
	case v.Type() == timeType && v.CanSet():
		v.Set(reflect.ValueOf(time.Unix(0, 0).UTC()))
	case v.Kind() == reflect.Struct && v.Type() != timeType:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				point(v.Field(i))
			}
		}
	}
}

// fill gives each field that the API shows a value of its own.
func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, n)
		fill(e, n+1)
		v.SetMapIndex(k, e)
	case reflect.Struct:
		if v.Type() == timeType {
			v.Set(reflect.ValueOf(time.Unix(int64(n), 1000).UTC()))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.Field(i), n+i)
			}
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n) + 0.5)
	default:
		v.SetInt(int64(n))
	}
}

// JobRequest is a JobSpec with the same numbers: a client may take one for the other.
func TestJobRequestIsAJobSpec(t *testing.T) {
	t.Parallel()
	spec, request := (&pb.JobSpec{}).ProtoReflect().Descriptor().Fields(), (&pb.JobRequest{}).ProtoReflect().Descriptor().Fields()
	for i := range spec.Len() {
		a := spec.Get(i)
		b := request.ByName(a.Name())
		if b == nil || a.Number() != b.Number() || kindOf(a) != kindOf(b) || a.HasPresence() != b.HasPresence() {
			t.Errorf("%s is another field in JobRequest", a.Name())
		}
	}
	if request.Len() != spec.Len()+1 {
		t.Errorf("JobRequest has %d fields, JobSpec %d", request.Len(), spec.Len())
	}
}

// Every method of the service is there, and is charged as an operation.
func TestEveryMethodIsServed(t *testing.T) {
	t.Parallel()
	d := New(t.Context(), Deps{})
	for i := range schema.Methods().Len() {
		name := schema.Methods().Get(i).Name()
		m, ok := d.methods["/"+string(schema.FullName())+"/"+string(name)]
		if spared := name == "RunRetention" || strings.Contains(string(name), "Audit"); ok == spared || !spared && m.operation == "" {
			t.Errorf("%s: served %v as %q", name, ok, m.operation)
		}
	}
}
