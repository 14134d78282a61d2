package hyper2kvm

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// TestErrorsOfVirtV2V: what virt-v2v 2.2 says, by the program that repeats it, and
// how it ends in the job.
func TestErrorsOfVirtV2V(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, said, code, fix string
	}{
		{"no nbdkit", "virt-v2v: error: nbdkit is not installed or not working.  It is required to use ‘-i libvirt|libvirtxml’.", "HX-H2K-009", "apt-get install nbdkit"},
		{"no kernel", "virt-v2v: error: libguestfs error: /usr/bin/supermin exited with error status 1.\nTo see full error messages you may need to enable debugging.", "HX-H2K-010", "/boot"},
		{"no guest", "virt-v2v: error: inspection could not detect the source guest (or physical machine) operating system.\n\nAssuming that you are running", "HX-H2K-011", "builtin"},
		{"anything else", "[   1.0] Converting\nvirt-v2v: error: filesystem was mounted read-only, even though we asked for it to be\nmounted read-write.", "HX-H2K-012", "what it says"},
		{"without a word", "[   1.0] Converting", "HX-CHILD-003", "what it says"},
	} {
		dir := t.TempDir()
		program := filepath.Join(dir, "virt-v2v")
		script := "#!/bin/sh\ncat <<'END'\n[   0.0] Setting up the source\n" + c.said + "\n\nIf reporting bugs, run virt-v2v with debugging enabled\nEND\nexit 1\n"
		if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		shown := 0
		err := runVirtV2V(t.Context(), task{program: program, work: dir, out: dir, line: func(string) { shown++ }})
		if f := fault.As(err); f == nil || f.Kind != fault.Unprocessable || f.Code != c.code || !strings.Contains(f.Fix, c.fix) || shown < 3 {
			t.Errorf("%s: %v (%d lines)", c.name, err, shown)
		}
	}
	gone := errors.New("cancelled")
	if err := explain(gone, "libguestfs error: /usr/bin/supermin exited"); !errors.Is(err, gone) || fault.Is(err, fault.Unprocessable) {
		t.Errorf("a cancel became %v", err)
	}
}

// TestHelpersOfVirtV2V: what is not there is told before anything runs, with its package.
func TestHelpersOfVirtV2V(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for _, want := range []string{"apt-get install nbdkit)", "apt-get install libnbd-bin)", ""} {
		err := complete()
		if f := fault.As(err); err == nil != (want == "") || want != "" && (f.Code != "HX-H2K-009" || !strings.Contains(f.Fix, want)) {
			t.Errorf("%v, want %q", err, want)
		}
		for _, h := range helpers {
			if strings.Contains(want, h.pkg) {
				if err := os.WriteFile(filepath.Join(dir, h.program), nil, 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestGuestfsEnv: what the operator tells libguestfs reaches it, and nothing else does.
func TestGuestfsEnv(t *testing.T) {
	t.Parallel()
	got := guestfsEnv([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg", "SUPERMIN_KERNEL=/k", "NOT_LIBGUESTFS_X=1", "LIBGUESTFS_BACKEND=libvirt"})
	want := []string{"LIBGUESTFS_BACKEND=direct", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg", "SUPERMIN_KERNEL=/k", "LIBGUESTFS_BACKEND=libvirt"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
