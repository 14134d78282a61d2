package rest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxDepth bounds the nesting of a body that huma decodes.
const maxDepth = 16

// checkJSON refuses what encoding/json lets pass: repeated keys, keys that match
// only without regard to case, nesting that would exhaust the stack. curl's default
// content type counts as JSON: a cross-site form is stopped elsewhere. Kind
// Invalid, or a Problem with status 415.
func checkJSON(contentType string, body []byte) error {
	mediaType, _, err := mime.ParseMediaType(cmp.Or(contentType, mediaJSON))
	if err != nil || mediaType != mediaJSON && mediaType != "application/x-www-form-urlencoded" {
		return newProblem(http.StatusUnsupportedMediaType, "HX-API-007", "the body is not application/json", "send JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		if _, known := errors.AsType[*fault.Error](err); known {
			return err
		}
		return fault.Wrap(err, fault.Invalid, "HX-API-005", "the body is not valid JSON", "correct it")
	}
	return nil // what may follow the value is json.Unmarshal's to refuse
}

func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	if depth == maxDepth {
		return fault.Newf(fault.Invalid, "HX-API-008", "send it flat", "the body is nested deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			if err := checkKey(dec, seen); err != nil {
				return err
			}
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing bracket
	return err
}

func checkKey(dec *json.Decoder, seen map[string]bool) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	key, ok := token.(string)
	switch {
	case !ok:
		return fault.New(fault.Invalid, "HX-API-005", "the body is not valid JSON", "correct it")
	case seen[key]:
		return fault.Newf(fault.Invalid, "HX-API-009", "name it once", "the key %.50q is repeated", key)
	case strings.ContainsFunc(key, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }):
		return fault.Newf(fault.Invalid, "HX-API-006", "all keys are lower-case", "the key %.50q is unknown", key)
	}
	seen[key] = true
	return nil
}

// byLocation orders errors for the reader: huma finds them in the random order
// of a map.
func byLocation(a, b Item) int { return cmp.Compare(a.Location, b.Location) }
