//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestCLI runs the scripts of testdata/cli. A vCenter is in GOVC_*, a daemon in
// HYPERVISORD_SERVER.
func TestCLI(t *testing.T) {
	h := newHouse(t, vcsim.Options{VMs: smallVMs()})
	d := h.start()
	example, err := filepath.Abs(filepath.Join("..", "examples", "merkle.py"))
	if err != nil {
		t.Fatal(err)
	}
	// In a run of its own, so that the daemon outlives the scripts.
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: filepath.Join("testdata", "cli"),
			Setup: func(env *testscript.Env) error {
				env.Vars = append(env.Vars, h.govc()...)
				env.Vars = append(env.Vars, "HYPERVISORD_SERVER="+d.url, "HYPERVISORD_API_KEY="+h.key(), "MERKLE="+example)
				env.Setenv("PATH", filepath.Dir(program("hyperexport"))+":"+env.Getenv("PATH"))
				env.Setenv("HOME", env.WorkDir)
				return nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "contains": contains, "keep": keep},
		})
	})
	d.stop()
	if left := h.sim.Leftovers(); len(left) > 0 {
		t.Errorf("left on vCenter: %v", left)
	}
}

// govc is the connection to the house's vCenter, as environment.
func (h *house) govc() []string {
	return []string{
		"GOVC_URL=" + h.sim.URL().String(), "GOVC_USERNAME=" + h.sim.Username(), "GOVC_PASSWORD=" + h.sim.Password(), "GOVC_INSECURE=true",
	}
}

// exits CODE COMMAND…: the command ends with this exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%v exits with %d, not %d", args[1:], got, want)
	}
}

// flip FILE OFFSET: changes one bit.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	off, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	ts.Check(err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], off)
	ts.Check(errors.Join(err, f.Close()))
}

// keep NAME: puts what the last command printed, without the line's end, into
// the environment.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile("stdout")
	for len(text) > 0 && text[len(text)-1] == '\n' {
		text = text[:len(text)-1]
	}
	ts.Setenv(args[0], text)
}

// contains FILE TEXT: the file (or stdout, stderr) holds the text.
func contains(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	found := len(args[1]) > 0 && strings.Contains(text, args[1])
	if found == neg {
		ts.Fatalf("%s: %q is there: %v\n%s", args[0], args[1], found, fmt.Sprintf("%.2000s", text))
	}
}
