package daemon

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/docs/schemas"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/schema/check"
)

var update = flag.Bool("update", false, "write docs/schemas")

// TestSchemasAreUpToDate: what is published is what the types say.
func TestSchemasAreUpToDate(t *testing.T) {
	all, err := Schemas()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(schemas.Kinds()) {
		t.Errorf("%d schemas are made, %d are published", len(all), len(schemas.Kinds()))
	}
	for name, text := range all {
		path := filepath.Join("../../docs/schemas", name+".json")
		if *update {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if have, _ := schemas.Of(name); !bytes.Equal(have, text) {
			t.Errorf("%s is not what the types say: go test ./internal/daemon -run Schemas -update", path)
		}
	}
}

// TestTheConfigurationKeepsToItsSchema: every key with its default, and each
// example.
func TestTheConfigurationKeepsToItsSchema(t *testing.T) {
	c := DefaultConfig()
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	body, _ := schemas.Of("config")
	problems, err := check.Document(body, text)
	if err != nil || len(problems) > 0 {
		t.Errorf("the default configuration: %v %v\n%s", problems, err, text)
	}
}

// TestSchemasAndDecodersAgree: what a schema refuses, the program refuses, and the
// other way round, as far as a schema can tell.
func TestSchemasAndDecodersAgree(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join("../../examples", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	decode := map[string]func(text []byte) error{
		"workflow": func(text []byte) error { _, err := job.DecodeSpecs(text, "application/yaml"); return err },
		"job":      func(text []byte) error { _, err := job.DecodeSpecs(text, "application/yaml"); return err },
		"profile":  func(text []byte) error { _, err := profile.Parse("p", text, "application/yaml"); return err },
		"config": func(text []byte) error {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, func(string) (string, bool) { return "", false }, nil)
			return err
		},
	}
	for _, c := range []struct {
		kind, text, old, new string
		wrong                string // the place of the problem; empty: valid
	}{
		{"workflow", read("workflow.yaml"), "", "", ""},
		{"workflow", read("workflow.yaml"), "depends_on: export", "depends_on: [export]", ""},
		{"workflow", read("workflow.yaml"), "depends_on: export", "depend_on: export", "line 10, column 5: jobs.1.depend_on"},
		{"workflow", read("workflow.yaml"), "type: upload", "type: uplaod", "jobs.2.type"},
		{"workflow", read("workflow.yaml"), "input: $export.output", "input: [$export.output]", "jobs.1.input"},
		{"job", "vm_path: /DC/vm/a\nbandwidth_limit: 1000\nlabels: {a: b}\n", "", "", ""},
		{"job", "vm_path: /DC/vm/a\nbandwidth_limit: 50MB\nnot_before: 2026-03-01T22:00:00Z\n", "", "", ""},
		{"job", "vm_path: /DC/vm/a\nbandwidth_limits: 50MB\n", "", "", "line 2, column 1: bandwidth_limits"},
		{"job", "vm_path: /DC/vm/a\nmax_attempts: many\n", "", "", "line 2, column 1: max_attempts"},
		{"job", "vm_path: /DC/vm/a\nlabels: {a: 1}\n", "", "", "line 2, column 10: labels.a"},
		{"profile", read("profiles/prod-backup.yaml"), "", "", ""},
		{"profile", read("profiles/prod-backup.yaml"), "compress:", "compres:", "defaults.compres"},
		{"profile", read("profiles/prod-backup.yaml"), "compression_level: 6", "compression_level: six", "defaults.compression_level"},
		{"profile", "extends: base\n", "", "", ""},
		{"config", read("config.yaml"), "password_file: /etc/hypersdk/vcenter.password", "password: x", ""},
		{"config", "", "", "", ""},
		{"config", "retention: {jobs: 30d, artifacts: {max_age: 12d}}\nqueue: {age_after: 1h30m}\n", "", "", ""},
		{"config", "workers: 0\n", "", "", "line 1, column 1: workers"},
		{"config", "log:\n  levels: info\n", "", "", "line 2, column 3: log.levels"},
		{"config", "vsphere:\n  max_exports_per_host: -1\n", "", "", "line 2, column 3: vsphere.max_exports_per_host"},
		{"config", "queue: {age_after: soon}\n", "", "", "queue.age_after"},
		{"config", "output: {roots: /a}\n", "", "", "output.roots"},
	} {
		text := []byte(strings.Replace(c.text, c.old, c.new, 1))
		body, _ := schemas.Of(c.kind)
		problems, err := check.Document(body, text)
		if err != nil {
			t.Errorf("%s %q: %v", c.kind, text, err)
		}
		if (len(problems) > 0) != (c.wrong != "") || c.wrong != "" && !strings.Contains(problems[0].String(), c.wrong) {
			t.Errorf("%s %q: the schema says %v", c.kind, text, problems)
		}
		if err := decode[c.kind](text); (err != nil) != (c.wrong != "") && c.kind+c.new != "workflowtype: uplaod" {
			t.Errorf("%s %q: the program says %v", c.kind, text, err)
		}
	}
	for _, hostile := range []string{"a: &x 1\nb: *x\n", "a: [", strings.Repeat("a", check.MaxDocument+1), "a: 1\n---\nb: 1\n"} {
		body, _ := schemas.Of("config")
		if problems, err := check.Document(body, []byte(hostile)); err == nil && len(problems) == 0 {
			t.Errorf("%.20q is taken", hostile)
		}
	}
}
