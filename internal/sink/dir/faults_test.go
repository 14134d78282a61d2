package dir

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// fill writes to a file of the stage until that fails, and returns the error.
func fill(t *testing.T, s sink.Stage, limit int64) error {
	t.Helper()
	o, err := s.Create("disk.raw", false)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close() // it failed before
	chunk := bytes.Repeat([]byte{1}, 256<<10)
	for off := int64(0); off < limit; off += int64(len(chunk)) {
		if _, err := o.WriteAt(chunk, off); err != nil {
			return err
		}
	}
	return o.Sync()
}

func wantFull(t *testing.T, err error) {
	t.Helper()
	if e := fault.As(err); e == nil || e.Kind != fault.Unprocessable || e.Code != "HX-DST-010" || e.Fix == "" {
		t.Errorf("got %v, want HX-DST-010 with a fix", err)
	}
}

// TestFileSizeLimit runs itself in a process that may not write large files, with
// direct I/O: what a full disk does, on any machine.
func TestFileSizeLimit(t *testing.T) {
	if root := os.Getenv("SINK_DIR_TEST_ROOT"); root != "" {
		signal.Ignore(unix.SIGXFSZ)
		limit := unix.Rlimit{Cur: 3 << 20, Max: 3 << 20}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		s := stageIn(t, root, "vm", "j")
		wantFull(t, fill(t, s, 16<<20))
		if err := s.Discard(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFileSizeLimit$")
	cmd.Env = append(os.Environ(), "SINK_DIR_TEST_ROOT="+root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left := list(t, root); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFullDisk fills a real file system, where the test may mount one.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=2m")
	if errors.Is(err, unix.EPERM) {
		t.Log("not allowed to mount a tmpfs; TestFileSizeLimit covers the rest")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := stageIn(t, root, "vm", "j")
	wantFull(t, fill(t, s, 16<<20))
	if err := s.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		t.Fatal(err)
	}
	if left := list(t, root); len(left) != 0 || st.Bfree != st.Blocks {
		t.Errorf("left behind: %v, %d blocks", left, st.Blocks-st.Bfree)
	}
	s = stageIn(t, root, "vm", "j") // with space there is a way on
	put(t, s, "small", []byte("fits"))
	if _, err := s.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFailedSyncStays: after a failed fsync the kernel forgets what it lost, so a
// second one may succeed. It must not count.
func TestFailedSyncStays(t *testing.T) {
	s := stageIn(t, t.TempDir(), "vm", "j")
	made, err := s.Create("x", false)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := made.(*object)
	if !ok {
		t.Fatalf("%T", made)
	}
	if _, err := o.WriteAt(make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	o.fail(&os.PathError{Op: "fdatasync", Path: "x", Err: unix.EIO})
	for range 2 {
		if err := o.Sync(); !fault.Is(err, fault.Unavailable) || !errors.Is(err, unix.EIO) {
			t.Errorf("sync after a failed one: %v", err)
		}
	}
	if _, err := o.WriteAt(make([]byte, 100), 100); !errors.Is(err, unix.EIO) {
		t.Errorf("write after a failed sync: %v", err)
	}
	if err := o.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("close after a failed sync: %v", err)
	}
	if _, err := o.WriteAt(nil, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if err := s.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestPublishAgain: an error after the rename is not the end of the output.
func TestPublishAgain(t *testing.T) {
	root := t.TempDir()
	s := stageIn(t, root, "vm", "j")
	put(t, s, "a", []byte("x"))
	for range 2 {
		if _, err := s.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Discard(t.Context()), s.Discard(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root); !slices.Equal(got, []string{"vm"}) {
		t.Fatal(got)
	}
}

// TestOneWriter starts many stages of one job at once, as no lease would allow:
// at most one of them can publish, and nothing is left of the others.
func TestOneWriter(t *testing.T) {
	root := t.TempDir()
	var won atomic.Int32
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			<-begin
			d, err := New(root, "sub")
			if err != nil {
				t.Error(err)
				return
			}
			s, err := d.Stage(t.Context(), "vm", "j")
			if err != nil {
				if !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Unavailable) {
					t.Error(err)
				}
				return
			}
			if _, err := s.Publish(t.Context()); err == nil {
				won.Add(1)
			}
			if err := s.Discard(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if got := list(t, filepath.Join(root, "sub")); won.Load() > 1 || len(got) != int(won.Load()) {
		t.Errorf("%d were published, %v is there", won.Load(), got)
	}
}

// TestSwappedLink replaces the directory by a link that leads out, and back, all
// the time. Whatever a stage gets to see, it writes nothing outside.
func TestSwappedLink(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	sub, spare := filepath.Join(root, "sub"), filepath.Join(root, "spare")
	link := filepath.Join(root, "link")
	if err := errors.Join(os.Mkdir(sub, 0o700), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(sub, spare)
				_ = os.Rename(link, sub)
				_ = os.Rename(sub, link)
				_ = os.Rename(spare, sub)
			}
		}
	})
	wrote := 0
	for range 300 {
		if d, err := New(root, "sub"); err == nil {
			wrote += writeSomething(t, d)
		}
	}
	close(stop)
	wg.Wait()
	if got := list(t, outside); len(got) != 0 {
		t.Errorf("outside of the root appeared %v", got)
	}
	if wrote == 0 {
		t.Error("no stage ever came up: the test proves nothing")
	}
}

func writeSomething(t *testing.T, d *Dir) (wrote int) {
	t.Helper()
	s, err := d.Stage(t.Context(), "vm", "j")
	if err != nil {
		return 0
	}
	defer s.Discard(t.Context()) // the directory may be anywhere in the root
	o, err := s.Create("disk", false)
	if err != nil {
		return 0
	}
	if _, err := o.WriteAt([]byte("content"), 0); err == nil {
		wrote = 1
	}
	_ = o.Close()
	return wrote
}

// TestOldRename is the way of file systems without RENAME_NOREPLACE.
func TestOldRename(t *testing.T) {
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"file", "other file"} {
		if err := root.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dir/x", "full/y"} {
		if err := errors.Join(root.Mkdir(filepath.Dir(name), 0o700), root.WriteFile(name, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []string{"file", "full"} {
		for _, from := range []string{"other file", "dir"} {
			if err := renameOld(root, from, to); !isTaken(err) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
	if err := errors.Join(renameOld(root, "file", "new file"), renameOld(root, "dir", "new dir")); err != nil {
		t.Error(err)
	}
	if got := list(t, path); !slices.Equal(got, []string{"full", "new dir", "new file", "other file"}) {
		t.Error(got)
	}
}

// TestSingleFileIsNotTakenOver: neither a second writer nor a file that appears
// in the meantime loses anything.
func TestSingleFileIsNotTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFile(path); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second writer got %v", err)
	}
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Publish(); !fault.Is(err, fault.Conflict) {
		t.Errorf("publish over a new file gave %v", err)
	}
	if got, err := os.ReadFile(path); string(got) != "theirs" {
		t.Errorf("%q, %v", got, err)
	}
	if got := list(t, filepath.Dir(path)); !slices.Equal(got, []string{"disk.raw"}) {
		t.Error(got)
	}
}

// TestLockOfALostName: who opened a file just before its owner published or
// removed it must not write into it.
func TestLockOfALostName(t *testing.T) {
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := lock(root, "x", os.O_RDWR|os.O_CREATE, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := same(root, "x", f); err != nil {
		t.Errorf("the name is still there: %v", err)
	}
	if err := root.Rename("x", "published"); err != nil {
		t.Fatal(err)
	}
	if err := same(root, "x", f); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name is gone: %v", err)
	}
	if err := root.WriteFile("x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := same(root, "x", f); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name is another file's: %v", err)
	}
}
