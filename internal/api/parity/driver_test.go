package parity_test

import (
	"encoding/json"
	"testing"
)

// driver makes calls through one door.
type driver interface {
	// door names it as events do.
	door() string
	// lacks tells why the door has no such use case; "" if it has.
	lacks(op string) string
	// do makes one call. It fails the test only if the door breaks its own protocol.
	do(t *testing.T, c call) outcome
}

// call is a use case in the words of REST; a driver says it in those of its door.
type call struct {
	op         string         // operation id of the OpenAPI document
	secret     string         // API key; "": none
	id         string         // {id} of the path, or {pos}
	key        string         // {key} of the path, or {delivery}
	query      map[string]any // string, int or []string by name
	body       map[string]any // the fields of the JSON body
	text       string         // a body that is no JSON, instead of body
	idempotent string         // the idempotency key; "": none
}

// outcome is an answer in the words of REST.
type outcome struct {
	kind    string // of the error, as fault.Kind has it; "": success
	code    string // HX-AREA-NNN
	message string
	fix     string
	items   []string // the code of each of several errors
	value   any      // the body of REST's answer, decoded; nil if it has none

	replayed bool // the answer is marked as that of an earlier call
}

// canonical drops what says nothing: null, zero, "", false, [] and {}. Doors differ
// in whether they write it.
func canonical(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if e = canonical(e); e != nil {
				out[k] = e
			}
		}
		if len(out) > 0 {
			return out
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = canonical(v[i])
		}
		if len(out) > 0 {
			return out
		}
	case string:
		if v != "" {
			return v
		}
	case json.Number:
		if f, err := v.Float64(); err != nil || f != 0 {
			return v
		}
	case bool:
		if v {
			return v
		}
	}
	return nil
}
