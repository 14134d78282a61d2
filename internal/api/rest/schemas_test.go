package rest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// TestTheSchemaOfWorkflows: an independent validator takes the roadmap's workflow
// and refuses what the daemon refuses.
func TestTheSchemaOfWorkflows(t *testing.T) {
	server := newWorld(t).server
	res, err := server.Client().Get(server.URL + "/schemas/workflow.json")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		t.Fatal(res.Status, res.Header)
	}
	value, err := jsonschema.UnmarshalJSON(res.Body)
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource("https://hypervisord.test/schemas/workflow.json", value))
	schema, err := c.Compile("https://hypervisord.test/schemas/workflow.json")
	must(t, err)
	text, err := os.ReadFile("../../../examples/workflow.yaml")
	must(t, err)
	for _, c := range []struct {
		old, new string
		valid    bool
	}{
		{"", "", true},
		{"depends_on: export", "depends_on: [export]", true},
		{"depends_on: export", "depend_on: export", false},
		{"name:", "title:", false},
		{"type: upload", "kind: upload", false},
		{"id: upload", "id: 7", false},
		{"jobs:", "steps:", false},
	} {
		var doc any
		must(t, yaml.Unmarshal([]byte(strings.Replace(string(text), c.old, c.new, 1)), &doc))
		body, err := json.Marshal(doc)
		must(t, err)
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		must(t, err)
		if err := schema.Validate(instance); (err == nil) != c.valid {
			t.Errorf("%q for %q: %v", c.new, c.old, err)
		}
	}
}
