package grpc

import (
	"reflect"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The nouns of the house and the messages have the same field names: those of the
// JSON. So one bridge copies between them, and a test says which field of a noun
// has no counterpart.

// toPB copies a noun, or a pointer to one, into an empty message.
func toPB[M proto.Message](v any, m M) M {
	encode(reflect.Indirect(reflect.ValueOf(v)), reflect.ValueOf(m).Elem())
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
	from := reflect.ValueOf(m)
	if from.IsNil() {
		return nil
	}
	return decode(from.Elem(), reflect.ValueOf(dst).Elem())
}

// pair is a field of a noun and its counterpart in the generated struct.
type pair struct {
	noun, message []int
	name          string
}

type pairsKey struct{ noun, message reflect.Type }

// known holds the pairs of each noun and message that met.
var known struct {
	sync.RWMutex
	pairs map[pairsKey][]pair
}

func pairsOf(noun, message reflect.Type) []pair {
	key := pairsKey{noun, message}
	known.RLock()
	pairs, ok := known.pairs[key]
	known.RUnlock()
	if ok {
		return pairs
	}
	fields := map[string][]int{}
	for i := range message.NumField() {
		for part := range strings.SplitSeq(message.Field(i).Tag.Get("protobuf"), ",") {
			if name, ok := strings.CutPrefix(part, "name="); ok {
				fields[name] = []int{i}
			}
		}
	}
	for _, f := range reflect.VisibleFields(noun) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if into, ok := fields[name]; ok && f.IsExported() {
			pairs = append(pairs, pair{f.Index, into, name})
		}
	}
	known.Lock()
	defer known.Unlock()
	if known.pairs == nil {
		known.pairs = map[pairsKey][]pair{}
	}
	known.pairs[key] = pairs
	return pairs
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	stampType = reflect.TypeFor[timestamppb.Timestamp]()
)

// encode copies a noun into the struct of a message. What is zero is left out, unless
// the noun points to it.
func encode(v, m reflect.Value) {
	for _, p := range pairsOf(v.Type(), m.Type()) {
		f := v.FieldByIndex(p.noun)
		if f.Kind() == reflect.Pointer {
			f = f.Elem() // no value for nil
		} else if f.IsZero() {
			continue
		}
		if f.IsValid() {
			encodeValue(f, m.FieldByIndex(p.message))
		}
	}
}

func encodeValue(f, into reflect.Value) {
	if k := into.Kind(); (k == reflect.Map || k == reflect.Slice) && f.Type() == into.Type() {
		into.Set(f) // both are only read
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		if into.Type().Elem() == stampType {
			if t, ok := reflect.TypeAssert[time.Time](f); ok {
				into.Set(reflect.ValueOf(timestamppb.New(t)))
			}
			return
		}
		into.Set(reflect.New(into.Type().Elem()))
		encodeValue(f, into.Elem())
	case reflect.Struct:
		encode(f, into)
	case reflect.Slice:
		if f.Type().Elem().Kind() == reflect.Uint8 {
			into.SetBytes(f.Bytes())
			return
		}
		into.Set(reflect.MakeSlice(into.Type(), f.Len(), f.Len()))
		for i := range f.Len() {
			encodeValue(f.Index(i), into.Index(i))
		}
	case reflect.Map:
		encodeMap(f, into)
	default:
		setScalar(f, into)
	}
}

func encodeMap(f, into reflect.Value) {
	into.Set(reflect.MakeMapWithSize(into.Type(), f.Len()))
	for entries := f.MapRange(); entries.Next(); {
		e := reflect.New(into.Type().Elem()).Elem()
		encodeValue(entries.Value(), e)
		into.SetMapIndex(entries.Key().Convert(into.Type().Key()), e)
	}
}

// setScalar copies between types of the same kind, or whole numbers.
func setScalar(f, into reflect.Value) {
	switch into.Kind() {
	case reflect.String:
		into.SetString(f.String())
	case reflect.Bool:
		into.SetBool(f.Bool())
	case reflect.Float64:
		into.SetFloat(f.Float())
	default:
		into.SetInt(f.Int())
	}
}

// decode copies what the struct of a message holds into a noun.
func decode(m, v reflect.Value) error {
	for _, p := range pairsOf(v.Type(), m.Type()) {
		from := m.FieldByIndex(p.message)
		if from.IsZero() {
			continue
		}
		if err := decodeValue(from, v.FieldByIndex(p.noun), p.name); err != nil {
			return err
		}
	}
	return nil
}

func decodeValue(from, f reflect.Value, name string) error {
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(f.Type().Elem()))
		f = f.Elem()
	}
	switch from.Kind() {
	case reflect.Pointer:
		if from.Type().Elem() != stampType {
			return decodeValue(from.Elem(), f, name)
		}
		stamp, _ := reflect.TypeAssert[*timestamppb.Timestamp](from)
		t, err := timeOf(stamp, name)
		f.Set(reflect.ValueOf(t))
		return err
	case reflect.Struct:
		return decode(from, f)
	case reflect.Slice:
		if from.Type().Elem().Kind() == reflect.Uint8 {
			f.SetBytes(from.Bytes())
			return nil
		}
		f.Set(reflect.MakeSlice(f.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			if err := decodeValue(from.Index(i), f.Index(i), name); err != nil {
				return err
			}
		}
	case reflect.Map:
		f.Set(reflect.MakeMapWithSize(f.Type(), from.Len()))
		for entries := from.MapRange(); entries.Next(); {
			e := reflect.New(f.Type().Elem()).Elem()
			if err := decodeValue(entries.Value(), e, name); err != nil {
				return err
			}
			f.SetMapIndex(entries.Key().Convert(f.Type().Key()), e)
		}
	default:
		setScalar(from, f)
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
