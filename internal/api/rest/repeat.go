package rest

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/gate"
)

// The headers of calls that may be repeated.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
)

// unkeyed are changes without a key: a repeat of them does no harm, and their answers
// are headers.
var unkeyed = []string{"create_session", "end_session"}

// takesKey tells whether an operation changes anything, so that it may be made under
// an idempotency key.
func takesKey(op *huma.Operation) bool {
	return op.Method != http.MethodGet && gate.Changes(op.OperationID) && !slices.Contains(unkeyed, op.OperationID)
}

// keyParameters documents the header of an operation that takes a key.
func keyParameters(op huma.Operation) []*huma.Param {
	if !takesKey(&op) {
		return nil
	}
	return []*huma.Param{{
		Name: headerKey, In: "header",
		Description: "Makes it safe to repeat the request: for 24 hours the same key, from the same caller, gets the same answer, and nothing is done again. " +
			"With another request it is refused (422), while the first one is at work, too (409, with Retry-After). 1 to 255 visible ASCII characters.",
		Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(255)},
	}}
}

// documentReplay documents the header that marks an answer as that of an earlier
// request.
func (a *API) documentReplay(op huma.Operation) {
	if !takesKey(&op) {
		return
	}
	for status, response := range a.operation(op.Method, op.Path).Responses {
		if n, err := strconv.Atoi(status); err != nil || n/100 != 2 {
			continue
		}
		if response.Headers == nil {
			response.Headers = map[string]*huma.Param{}
		}
		response.Headers[headerReplayed] = &huma.Header{
			Description: "true: an earlier request with the key was answered, nothing was done",
			Schema:      &huma.Schema{Type: huma.TypeString},
		}
	}
}

// operation is what is documented of an operation.
func (a *API) operation(method, path string) *huma.Operation {
	item := a.huma.OpenAPI().Paths[path]
	switch method {
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	case http.MethodDelete:
		return item.Delete
	default:
		return item.Post
	}
}
