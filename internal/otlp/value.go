package otlp

import (
	"encoding/json"
	"maps"
	"slices"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// Text is a value that is a text.
func Text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// Value turns what encoding/json decodes, numbers as json.Number, into a value of
// OTLP.
func Value(v any) *commonpb.AnyValue {
	switch v := v.(type) {
	case string:
		return Text(v)
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
		}
		n, _ := v.Float64() // or the infinity that it stands for
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: n}}
	case []any:
		list := &commonpb.ArrayValue{}
		for _, e := range v {
			list.Values = append(list.Values, Value(e))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
	case map[string]any:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: Pairs(v)}}}
	}
	return &commonpb.AnyValue{} // null
}

// Pairs turns an object into attributes, in the order of their names.
func Pairs(object map[string]any) (all []*commonpb.KeyValue) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		all = append(all, &commonpb.KeyValue{Key: key, Value: Value(object[key])})
	}
	return all
}
