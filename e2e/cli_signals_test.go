//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// command is a running hyperexport.
type command struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// export starts an export of the VM big, as a user does.
func (h *house) export(out string) *command {
	h.Helper()
	c := &command{Cmd: exec.Command(program("hyperexport"), "vsphere", "export", "--vm", "/DC/vm/big", "--format", "raw", "--transport", "range", "--output", out)}
	c.Env = slices.Concat(os.Environ(), h.govc(), []string{"HOME=" + filepath.Dir(h.config), "HYPEREXPORT_DEBUG=1"})
	c.Stdout, c.Stderr = &c.out, &c.err
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = c.Process.Kill() })
	return c
}

// end waits for the command and returns its exit code, -1 for a killed one.
func (c *command) end() int {
	_ = c.Wait()
	return c.ProcessState.ExitCode()
}

func bigHouse(t *testing.T) *house {
	h := newHouse(t, vcsim.Options{LeaseTimeout: leaseTimeout, VMs: []vcsim.VM{{Path: "big", On: true, Disks: []vcsim.Disk{dense(192*mib, 1)}}}})
	h.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Rate: 16 * mib})
	return h
}

// TestCLIInterrupt: Ctrl-C ends an export with its exit code and leaves nothing.
func TestCLIInterrupt(t *testing.T) {
	h := bigHouse(t)
	c := h.export(h.output)
	eventually(t, "the first bytes", func() bool { return h.sent() > 4*mib })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := c.end(); code != 8 {
		t.Errorf("exit code %d after Ctrl-C, want 8\n%s", code, c.err.String())
	}
	h.tidy()
}

// TestCLIKilled: after kill -9 the same command goes on where it was.
func TestCLIKilled(t *testing.T) {
	h := bigHouse(t)
	c := h.export(h.output)
	eventually(t, "a checkpoint", func() bool { return h.sent() > disk.CheckpointBytes+inFlight })
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := c.end(); code != -1 {
		t.Fatalf("the export ended with %d before it was killed\n%s", code, c.err.String())
	}
	if _, err := os.Stat(filepath.Join(h.output, "big")); err == nil {
		t.Fatal("an export that is not complete is published")
	}
	before := h.sent()
	h.sim.Faults().Clear()
	c = h.export(h.output)
	if code := c.end(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, c.err.String())
	}
	t.Logf("%d MiB before the kill, %d MiB after it, of a disk of 192 MiB", before/mib, (h.sent()-before)/mib)
	if !strings.Contains(c.err.String(), "Going on with 1 interrupted export") || h.sent()-before > 192*mib-disk.CheckpointBytes+mib {
		t.Errorf("it did not go on from a checkpoint\n%s", c.err.String())
	}
	rep, err := artifact.Verify(t.Context(), filepath.Join(h.output, "big"), nil, nil)
	if err != nil || !rep.OK() {
		t.Errorf("the export is not what its receipt says: %+v, %v", rep, err)
	}
	if left := h.sim.Leftovers(); len(left) > 0 {
		t.Errorf("left on vCenter: %v", left)
	}
	for path := range h.strays() {
		if filepath.Dir(path) != filepath.Join(h.output, "big") {
			t.Errorf("left in the output: %s", path)
		}
	}
}
