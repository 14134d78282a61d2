// Package internal_test holds the house together: imports point down.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hypersdk/hypersdk/"

// floors is the map of ARCHITECTURE.md. A package imports only from floors below
// its own, except where sideways says otherwise. A new package is added here.
var floors = map[string]int{
	"internal/fault":                        0,
	"internal/egress":                       1,
	"internal/outbox":                       5,
	"internal/seal":                         1,
	"internal/webhook":                      4,
	"internal/secret":                       0,
	"internal/schema":                       0,
	"internal/schema/check":                 1,
	"internal/child":                        1,
	"internal/tracing":                      1,
	"internal/version":                      0,
	"internal/disk/inflate":                 0,
	"internal/limit":                        1,
	"internal/otlp":                         1,
	"internal/tenant":                       1,
	"internal/disk":                         1,
	"internal/disk/imagegen":                1,
	"internal/job":                          2,
	"internal/node":                         1,
	"internal/receipt":                      2,
	"internal/event":                        3,
	"internal/admission":                    4,
	"internal/audit":                        4,
	"internal/auditsink":                    6,
	"internal/profile":                      4,
	"internal/provider":                     4,
	"internal/schedule":                     3,
	"internal/sink":                         4,
	"internal/disk/vmdk":                    4,
	"internal/disk/qcow2":                   4,
	"internal/disk/ova":                     4,
	"internal/provider/vsphere":             5,
	"internal/provider/vsphere/vcsim/guest": 4,
	"internal/provider/vsphere/vcsim":       5,
	"internal/sink/dir":                     5,
	"internal/sink/s3":                      5,
	"internal/service":                      5,
	"internal/artifact":                     5,
	"internal/dispatch":                     5,
	"internal/auth":                         5,
	"internal/auth/issuertest":              0,
	"internal/telemetry":                    6,
	"internal/gate":                         6,
	"internal/workflow":                     6,
	"internal/step":                         7,
	"internal/step/boot":                    8,
	"internal/step/hyper2kvm":               8,
	"internal/step/upload":                  7,
	"internal/step/webhook":                 7,
	"internal/store":                        7,
	"internal/store/storetest":              8,
	"internal/store/pgtest":                 8,
	"internal/api/grpc":                     8,
	"internal/api/rest":                     8,
	"internal/api/parity":                   9,
	"internal/api/abuse":                    9,
	"internal/api/graph":                    8,
	"internal/api/stream":                   7,
	"internal/api/pages":                    7,
	"internal/api/conform":                  7,
	"internal/console":                      8,
	"internal/daemon":                       9,
	"internal/demo":                         10,
}

// sideways are the allowed imports within a floor, with their reason.
var sideways = map[string]string{
	"internal/sink/dir > internal/sink": "adapter",
}

func TestImportsPointDown(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		seen[pkg] = true
		for _, imported := range imports(t, path) {
			check(t, path, pkg, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("%s is on the map but not in the house", pkg)
		}
	}
}

func check(t *testing.T, path, pkg, imported string) {
	t.Helper()
	from, known := floors[pkg]
	if !known {
		t.Errorf("%s has no floor: add it to the map and to ARCHITECTURE.md", pkg)
		return
	}
	to, known := floors[imported]
	switch {
	case imported == "client": // the public client imports nothing of the house
	case strings.HasPrefix(imported, "api/gen/"): // nor do the generated messages
	case imported == "docs/schemas": // files to embed
	case !known:
		t.Errorf("%s imports %s, which has no floor", path, imported)
	case to >= from && sideways[pkg+" > "+imported] == "":
		t.Errorf("%s (floor %d) imports %s (floor %d): imports point down", path, from, imported, to)
	}
}

// imports returns the imports of a file that lie in this module.
func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if rest, ours := strings.CutPrefix(name, module); ours {
			out = append(out, rest)
		}
	}
	return out
}

// TestNothingRunsPrograms keeps os/exec out of everything that takes input
// from outside.
func TestNothingRunsPrograms(t *testing.T) {
	allowed := map[string]bool{
		"internal/demo":            true, // it boots its result in QEMU
		"internal/store/pgtest":    true, // it runs a database for tests
		"internal/auth/issuertest": true, // and this an issuer
		"internal/child":           true, // what steps of workflows need: fixed arguments, a process group, a directory of their own
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), `"os/exec"`) && !allowed["internal/"+filepath.ToSlash(filepath.Dir(path))] {
			t.Errorf("%s imports os/exec", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
