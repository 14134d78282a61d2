// Package schemas holds the JSON Schemas of the files that users write. They are
// made of the Go types by `go test ./internal/daemon -run Schemas -update`.
package schemas

import "embed"

//go:embed *.json
var files embed.FS

// Of returns the schema of a kind of file: config, job, profile, workflow. found is
// false for another.
func Of(kind string) (text []byte, found bool) {
	text, err := files.ReadFile(kind + ".json")
	return text, err == nil
}

// Kinds lists them.
func Kinds() []string { return []string{"config", "job", "profile", "workflow"} }
