package grpc

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// refuseUnknown refuses a message with a field that has no name here: what it asks
// for would silently not be done. Kind Invalid.
func refuseUnknown(m protoreflect.Message) (err error) {
	if raw := m.GetUnknown(); len(raw) > 0 {
		number, _, _ := protowire.ConsumeTag(raw)
		return fault.Newf(fault.Invalid, "HX-GRPC-004", "leave it out, or ask a newer daemon", "%s has no field %d here", m.Descriptor().Name(), number)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind || fd.IsMap(): // no map holds messages
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = refuseUnknown(v.List().Get(i).Message())
			}
		default:
			err = refuseUnknown(v.Message())
		}
		return err == nil
	})
	return err
}
