package grpc

import (
	"reflect"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The nouns of the house and the messages have the same field names: those of the
// JSON. So one bridge copies between them, and a test says which field of a noun
// has no counterpart.

// toPB copies a noun, or a pointer to one, into an empty message.
func toPB[M proto.Message](v any, m M) M {
	encode(reflect.Indirect(reflect.ValueOf(v)), m.ProtoReflect())
	return m
}

// listPB is toPB for all elements of a list.
func listPB[T any, M any, PM interface {
	*M
	proto.Message
}](all []T) []PM {
	out := make([]PM, len(all))
	for i := range all {
		out[i] = toPB(&all[i], PM(new(M)))
	}
	return out
}

// fromPB copies a message into the noun that dst points to. What the message does
// not hold stays. Kind Invalid for a time that is none.
func fromPB(m proto.Message, dst any) error {
	return decode(m.ProtoReflect(), reflect.ValueOf(dst).Elem())
}

// pair is a field of a noun and its counterpart.
type pair struct {
	index []int
	fd    protoreflect.FieldDescriptor
}

type pairsKey struct {
	noun    reflect.Type
	message protoreflect.FullName
}

// known holds the []pair of each noun and message that met.
var known sync.Map

func pairsOf(t reflect.Type, md protoreflect.MessageDescriptor) []pair {
	key := pairsKey{t, md.FullName()}
	if found, ok := known.Load(key); ok {
		return found.([]pair)
	}
	var pairs []pair
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "" || name == "-" {
			continue
		}
		if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
			pairs = append(pairs, pair{f.Index, fd})
		}
	}
	known.Store(key, pairs)
	return pairs
}

var timeType = reflect.TypeFor[time.Time]()

func encode(v reflect.Value, m protoreflect.Message) {
	for _, p := range pairsOf(v.Type(), m.Descriptor()) {
		f := v.FieldByIndex(p.index)
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		} else if f.IsZero() {
			continue
		}
		switch {
		case p.fd.IsMap():
			encodeMap(f, p.fd, m.Mutable(p.fd).Map())
		case p.fd.IsList():
			encodeList(f, p.fd, m.Mutable(p.fd).List())
		default:
			m.Set(p.fd, valueOf(f, p.fd, func() protoreflect.Value { return m.NewField(p.fd) }))
		}
	}
}

func encodeMap(f reflect.Value, fd protoreflect.FieldDescriptor, into protoreflect.Map) {
	for entries := f.MapRange(); entries.Next(); {
		into.Set(protoreflect.ValueOfString(entries.Key().String()).MapKey(), valueOf(entries.Value(), fd.MapValue(), into.NewValue))
	}
}

func encodeList(f reflect.Value, fd protoreflect.FieldDescriptor, into protoreflect.List) {
	for i := range f.Len() {
		into.Append(valueOf(f.Index(i), fd, into.NewElement))
	}
}

// valueOf makes a single value; empty makes the message that it may be.
func valueOf(f reflect.Value, fd protoreflect.FieldDescriptor, empty func() protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if f.Type() == timeType {
			return protoreflect.ValueOfMessage(timestamppb.New(f.Interface().(time.Time)).ProtoReflect())
		}
		m := empty()
		encode(f, m.Message())
		return m
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(f.String())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(f.Bytes())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(f.Bool())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(f.Int()))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(f.Int())
	default: // the messages have no other kind: see the test
		return protoreflect.ValueOfFloat64(f.Float())
	}
}

func decode(m protoreflect.Message, v reflect.Value) error {
	for _, p := range pairsOf(v.Type(), m.Descriptor()) {
		if !m.Has(p.fd) {
			continue
		}
		f := v.FieldByIndex(p.index)
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		if err := decodeField(m.Get(p.fd), p.fd, f); err != nil {
			return err
		}
	}
	return nil
}

func decodeField(from protoreflect.Value, fd protoreflect.FieldDescriptor, f reflect.Value) (err error) {
	switch {
	case fd.IsMap():
		f.Set(reflect.MakeMap(f.Type()))
		from.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			e := reflect.New(f.Type().Elem()).Elem()
			err = decodeValue(v, fd.MapValue(), e)
			f.SetMapIndex(reflect.ValueOf(k.String()).Convert(f.Type().Key()), e)
			return err == nil
		})
		return err
	case fd.IsList():
		all := from.List()
		f.Set(reflect.MakeSlice(f.Type(), all.Len(), all.Len()))
		for i := range all.Len() {
			if err := decodeValue(all.Get(i), fd, f.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return decodeValue(from, fd, f)
}

func decodeValue(from protoreflect.Value, fd protoreflect.FieldDescriptor, f reflect.Value) error {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if f.Type() != timeType {
			return decode(from.Message(), f)
		}
		t, err := timeOf(from.Message().Interface().(*timestamppb.Timestamp), string(fd.Name()))
		f.Set(reflect.ValueOf(t))
		return err
	case protoreflect.StringKind:
		f.SetString(from.String())
	case protoreflect.BytesKind:
		f.SetBytes(from.Bytes())
	case protoreflect.BoolKind:
		f.SetBool(from.Bool())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		f.SetInt(from.Int())
	default:
		f.SetFloat(from.Float())
	}
	return nil
}

// timeOf returns the time of a field, the zero time for an absent one.
func timeOf(t *timestamppb.Timestamp, field string) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fault.Wrap(err, fault.Invalid, "HX-GRPC-003", field+" is no time between the years 1 and 9999", "correct it")
	}
	return t.AsTime(), nil
}

// timePB returns the message of a time, nil for none.
func timePB(t *time.Time) *timestamppb.Timestamp {
	if t == nil || t.IsZero() {
		return nil
	}
	return timestamppb.New(*t)
}
