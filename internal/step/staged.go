package step

import "encoding/json"

// StageOf returns the mark of the staging area that a saved state of an export or
// a conversion is about; empty if it names none.
func StageOf(token []byte) string {
	var s struct {
		Stage string `json:"stage"`
	}
	if json.Unmarshal(token, &s) != nil {
		return ""
	}
	return s.Stage
}
