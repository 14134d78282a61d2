package graph

import (
	"bytes"
	"encoding/json"
	"slices"
)

// requestKeys are those of a request, as they are spelled.
var requestKeys = []string{"query", "operationName", "variables", "extensions"}

// distinct tells whether valid JSON says everything once: encoding/json takes the last
// one of repeated keys, and QUERY for query, where a proxy that looks at the body may
// have seen another.
func distinct(body []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	return distinctValue(dec, 0)
}

func distinctValue(dec *json.Decoder, depth int) bool {
	token, err := dec.Token()
	delim, nested := token.(json.Delim)
	if err != nil || !nested {
		return err == nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			token, err := dec.Token()
			key, ok := token.(string)
			if err != nil || !ok || seen[key] || depth == 0 && !slices.Contains(requestKeys, key) {
				return false
			}
			seen[key] = true
		}
		if !distinctValue(dec, depth+1) {
			return false
		}
	}
	_, err = dec.Token() // the closing bracket
	return err == nil
}
