package dir_test

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

// output makes the output of a job below a new root, as the engine leaves it.
func output(t *testing.T, jobID string) (root string, bytes int64) {
	t.Helper()
	root = t.TempDir()
	folder := filepath.Join(root, "team", "web-01")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := receipt.Sign(&receipt.Receipt{
		Version: receipt.Version, JobID: jobID, Files: []receipt.File{{Name: "web-01.qcow2", Size: 7}, {Name: "web-01.nvram", Size: 0}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"web-01.qcow2": "content", "web-01.nvram": "", receipt.FileName: string(text)} {
		put(t, filepath.Join(folder, name), content)
	}
	return root, int64(7 + len(text))
}

func put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	root, size := output(t, "j1")
	parent := filepath.Join(root, "team")
	put(t, filepath.Join(parent, "neighbour"), "x")
	if err := os.Mkdir(filepath.Join(parent, ".web-01.j1.removed"), 0o700); err != nil { // a crash left it
		t.Fatal(err)
	}
	if n, err := dir.Remove(t.Context(), root, "team/web-01", "j1", true); err != nil || n != size {
		t.Fatalf("%d bytes, want %d: %v", n, size, err)
	}
	if got := names(t, filepath.Join(parent, "web-01")); got != "receipt.json web-01.nvram web-01.qcow2" {
		t.Fatalf("a dry run left %s", got)
	}
	if n, err := dir.Remove(t.Context(), root, "team/web-01", "j1", false); err != nil || n != size {
		t.Fatalf("%d bytes, want %d: %v", n, size, err)
	}
	if got := names(t, parent); got != "neighbour" {
		t.Fatalf("left: %s", got)
	}
	for _, sub := range []string{"team/web-01", "other/web-01"} {
		if _, err := dir.Remove(t.Context(), root, sub, "j1", false); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", sub, err)
		}
	}
	if _, err := dir.Remove(t.Context(), root+"/none", "web-01", "j1", false); err == nil || fault.Is(err, fault.NotFound) {
		t.Errorf("a root that is not mounted: %v", err)
	}
}

// An output that was touched is somebody's: all of it stays.
func TestRemoveLeavesWhatWasChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, folder string){
		"a file more":       func(t *testing.T, f string) { put(t, filepath.Join(f, "notes.txt"), "mine") },
		"a hidden file":     func(t *testing.T, f string) { put(t, filepath.Join(f, ".x"), "") },
		"a directory":       func(t *testing.T, f string) { noError(t, os.Mkdir(filepath.Join(f, "sub"), 0o700)) },
		"a file less":       func(t *testing.T, f string) { noError(t, os.Remove(filepath.Join(f, "web-01.qcow2"))) },
		"a file grew":       func(t *testing.T, f string) { put(t, filepath.Join(f, "web-01.qcow2"), "contents") },
		"no receipt":        func(t *testing.T, f string) { noError(t, os.Remove(filepath.Join(f, receipt.FileName))) },
		"a damaged receipt": func(t *testing.T, f string) { put(t, filepath.Join(f, receipt.FileName), "{}") },
		"a link for a file": func(t *testing.T, f string) {
			noError(t, os.Remove(filepath.Join(f, "web-01.qcow2")))
			noError(t, os.Symlink("/etc/hostname", filepath.Join(f, "web-01.qcow2")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, _ := output(t, "j1")
			folder := filepath.Join(root, "team", "web-01")
			change(t, folder)
			before := names(t, folder)
			_, err := dir.Remove(t.Context(), root, "team/web-01", "j1", false)
			if !fault.Is(err, fault.Conflict) || names(t, folder) != before {
				t.Errorf("%v, left %s", err, names(t, folder))
			}
		})
	}
	root, _ := output(t, "j1")
	if _, err := dir.Remove(t.Context(), root, "team/web-01", "j2", false); !fault.Is(err, fault.Conflict) {
		t.Errorf("another job's output: %v", err)
	}
}

// No link leads out of the root, whatever stands where the output was.
func TestRemoveStaysInside(t *testing.T) {
	t.Parallel()
	outside, _ := output(t, "j1")
	victim := filepath.Join(outside, "team", "web-01")
	root := t.TempDir()
	noError(t, os.Symlink(victim, filepath.Join(root, "web-01")))
	noError(t, os.Symlink(filepath.Join(outside, "team"), filepath.Join(root, "team")))
	for _, sub := range []string{"web-01", "team/web-01", "../" + filepath.Base(outside) + "/team/web-01"} {
		if _, err := dir.Remove(t.Context(), root, sub, "j1", false); err == nil {
			t.Errorf("%s is removed", sub)
		}
		if _, err := os.Lstat(filepath.Join(victim, "web-01.qcow2")); errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s leads out of the root", sub)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
