//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// volume is a file system of its own on a loop device, whose power can be cut.
type volume struct {
	*testing.T
	image, dir string
	options    string
	mounted    bool
}

var fileSystems = []string{"ext4", "xfs"}

// newVolume makes and mounts a file system. Its journal is lazy, so that what
// nobody syncs is not written by chance.
func newVolume(t *testing.T, fs string) *volume {
	t.Helper()
	needRoot(t)
	v := &volume{T: t, image: filepath.Join(t.TempDir(), "image"), dir: filepath.Join(t.TempDir(), "volume"), options: "loop"}
	if fs == "ext4" {
		v.options += ",commit=300,noauto_da_alloc"
	}
	if err := errors.Join(os.WriteFile(v.image, nil, 0o600), os.Truncate(v.image, 640*mib), os.Mkdir(v.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	v.run("mkfs."+fs, "-q", v.image)
	v.mount()
	t.Cleanup(func() {
		if v.mounted {
			v.unmount()
		}
	})
	return v
}

func (v *volume) run(name string, args ...string) {
	v.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		v.Fatalf("%s %v: %v\n%s\nThe power cuts need root and loop devices (losetup -f must work): a container may forbid them.", name, args, err, out)
	}
}

func (v *volume) mount() {
	v.Helper()
	v.run("mount", "-o", v.options, v.image, v.dir)
	v.mounted = true
}

func (v *volume) unmount() {
	v.Helper()
	v.run("umount", v.dir)
	v.mounted = false
}

const (
	fsIocShutdown    = 0x8004587d // FS_IOC_SHUTDOWN, ext4 and xfs
	shutdownNoFlush  = 2          // not even the journal
	cutIsNotPossible = "the file system cannot be cut off: %v"
)

// cut takes the power away: from now on nothing reaches the disk, and what was
// not synced is lost.
func (v *volume) cut() {
	v.Helper()
	d, err := os.Open(v.dir)
	if err != nil {
		v.Fatal(err)
	}
	if err := errors.Join(unix.IoctlSetPointerInt(int(d.Fd()), fsIocShutdown, shutdownNoFlush), d.Close()); err != nil {
		v.Fatalf(cutIsNotPossible, err)
	}
}

// restore brings the power back. Nothing may have a file open on the volume.
func (v *volume) restore() {
	v.Helper()
	v.unmount()
	v.mount()
}

// onVolumes runs a test on each file system.
func onVolumes(t *testing.T, test func(t *testing.T, v *volume)) {
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) { test(t, newVolume(t, fs)) })
	}
}

// path is a path on the volume.
func (v *volume) path(format string, args ...any) string {
	return filepath.Join(v.dir, fmt.Sprintf(format, args...))
}
