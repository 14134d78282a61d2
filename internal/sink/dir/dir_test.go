package dir

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func stageIn(t *testing.T, root, name, job string) sink.Stage {
	t.Helper()
	d, err := New(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Stage(t.Context(), name, job)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s sink.Stage, name string, content []byte) {
	t.Helper()
	o, err := s.Create(name, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOutputAppearsWholeByPublish(t *testing.T) {
	root := t.TempDir()
	s := stageIn(t, root, "vm", "j1")
	put(t, s, "a", []byte("one"))
	if got := list(t, root); len(got) != 1 || !strings.HasPrefix(got[0], ".vm.j1.") || !strings.HasSuffix(got[0], ".partial") {
		t.Fatal(got)
	}
	stored, err := s.Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(stored.Path, "a")); err != nil || string(got) != "one" {
		t.Fatal(string(got), err)
	}
	if got := list(t, root); !slices.Equal(got, []string{"vm"}) {
		t.Fatal(got)
	}
}

func TestPublishNeverReplaces(t *testing.T) {
	root := t.TempDir()
	s := stageIn(t, root, "vm", "j1")
	put(t, s, "a", []byte("new"))
	if err := os.Mkdir(filepath.Join(root, "vm"), 0o700); err != nil { // appears while the export runs
		t.Fatal(err)
	}
	if _, err := s.Publish(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
	if err := s.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := New(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stage(t.Context(), "vm", "j2"); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
}

// TestCrashAfterTheRename: the output is published, the job does not know it.
func TestCrashAfterTheRename(t *testing.T) {
	root := t.TempDir()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := receipt.Sign(&receipt.Receipt{Version: receipt.Version, JobID: "j1"}, key)
	if err != nil {
		t.Fatal(err)
	}
	s := stageIn(t, root, "vm", "j1")
	put(t, s, receipt.FileName, text)
	if _, err := s.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := stageIn(t, root, "vm", "j1")
	stored, err := again.Publish(t.Context())
	if err != nil || stored.Path != filepath.Join(root, "vm") {
		t.Fatal(stored, err)
	}
	if err := again.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root); !slices.Equal(got, []string{"vm"}) {
		t.Fatalf("a discard removed what was published: %v", got)
	}
}

func TestStageIsFoundAgain(t *testing.T) {
	root := t.TempDir()
	s := stageIn(t, root, "vm", "j1")
	put(t, s, "a", []byte("kept"))
	mark := s.(sink.Marked).Mark()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := stageIn(t, root, "vm", "j2") // of another job
	s = stageIn(t, root, "vm", "j1")
	if got := s.(sink.Marked).Mark(); got != mark || mark == "" || other.(sink.Marked).Mark() == mark {
		t.Fatalf("it was marked %q and is now %q", mark, got)
	}
	if err := other.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := s.Create("a", true)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := o.ReadAt(got, 0); err != nil || string(got) != "kept" {
		t.Fatal(string(got), err)
	}
	if err := errors.Join(o.Close(), s.Discard(t.Context()), s.Discard(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root); len(got) != 0 {
		t.Fatal(got)
	}
}

// TestStageIsTakenOver: whoever opens the stage of a job has its lease, so a
// process that still holds an earlier one can neither spoil nor publish anything.
func TestStageIsTakenOver(t *testing.T) {
	root := t.TempDir()
	stale := stageIn(t, root, "vm", "j1")
	put(t, stale, "a", []byte("stale"))
	fresh := stageIn(t, root, "vm", "j1")
	if a, b := stale.(sink.Marked).Mark(), fresh.(sink.Marked).Mark(); a == b {
		t.Fatalf("both are marked %q", a)
	}
	if f, err := fresh.Open("a"); err == nil {
		t.Fatal("it has the other's file", f.Close())
	}
	put(t, fresh, "a", []byte("fresh"))
	if stored, err := stale.Publish(t.Context()); err == nil {
		t.Fatalf("the stale one was published: %v", stored)
	}
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "vm", "a"))
	if err != nil || string(got) != "fresh" || len(list(t, root)) != 1 {
		t.Fatalf("%q, %v, %v", got, err, list(t, root))
	}
}

// TestObjectIsAFile writes at random and compares with the same writes in memory;
// the last seeds do without direct I/O.
func TestObjectIsAFile(t *testing.T) {
	for seed := range uint64(6) {
		rng, content := rand.New(rand.NewPCG(seed, 1)), rand.NewChaCha8([32]byte{byte(seed)})
		s := stageIn(t, t.TempDir(), "vm", "j")
		o, err := s.Create("x", false)
		if err != nil {
			t.Fatal(err)
		}
		if file, ok := o.(*object); ok && seed > 3 && file.direct != nil {
			if err := file.direct.Close(); err != nil {
				t.Fatal(err)
			}
			file.direct = nil
		}
		var want []byte
		pos := int64(0)
		for range 40 {
			p := make([]byte, 1+rng.IntN([]int{100, 5000, 70_000, 2 << 20}[rng.IntN(4)]))
			if _, err := content.Read(p); err != nil {
				t.Fatal(err)
			}
			switch rng.IntN(8) {
			case 0: // a hole
				pos += rng.Int64N(1 << 20)
			case 1: // back
				pos = rng.Int64N(pos + 1)
			case 2:
				pos = pos / align * align
			case 3:
				if err := o.Sync(); err != nil {
					t.Fatal(err)
				}
			case 4:
				if err := o.Truncate(pos); err != nil {
					t.Fatal(err)
				}
				want = resize(want, pos)
			}
			if n, err := o.WriteAt(p, pos); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			if end := pos + int64(len(p)); end > int64(len(want)) {
				want = resize(want, end)
			}
			copy(want[pos:], p)
			pos += int64(len(p))
			if rng.IntN(6) == 0 {
				got := make([]byte, len(want))
				if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("seed %d: reads other bytes (%v)", seed, err)
				}
			}
		}
		if err := errors.Join(o.Close(), o.Close()); err != nil {
			t.Fatal(err)
		}
		f, err := s.Open("x")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, f.Size())
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes, want %d: %v", seed, len(got), len(want), err)
		}
		if err := errors.Join(f.Close(), s.Discard(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

func resize(p []byte, n int64) []byte {
	if n <= int64(len(p)) {
		return p[:n:n]
	}
	return append(slices.Clip(p), make([]byte, n-int64(len(p)))...)
}

func TestHolesStayHoles(t *testing.T) {
	s := stageIn(t, t.TempDir(), "vm", "j")
	o, err := s.Create("x", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.WriteAt(make([]byte, 64<<10), 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.Truncate(4<<30), o.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open("x")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.(interface{ Fd() uintptr }).Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != 4<<30 || st.Blocks*512 > 1<<20 {
		t.Fatalf("%d bytes take %d", st.Size, st.Blocks*512)
	}
	if err := errors.Join(f.Close(), s.Discard(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsOfTheFileSystemAreClassified(t *testing.T) {
	for cause, want := range map[error]fault.Kind{
		unix.ENOSPC: fault.Unprocessable, unix.EDQUOT: fault.Unprocessable, unix.EACCES: fault.Denied,
		unix.EROFS: fault.Denied, unix.EIO: fault.Unavailable, unix.ENOTDIR: fault.Unprocessable,
	} {
		err := classify(&os.PathError{Op: "write", Path: "x", Err: cause}, "/x")
		if !fault.Is(err, want) || fault.As(err).Fix == "" {
			t.Errorf("%v: %v", cause, err)
		}
	}
}

func TestNoLinkLeadsOut(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := New(root, "link"); err == nil {
		t.Fatal("a link led out of the root")
	}
	if _, err := New(root, "link/deeper"); err == nil {
		t.Fatal("a link led out of the root")
	}
	s := stageIn(t, root, "vm", "j")
	temps, err := filepath.Glob(filepath.Join(root, ".vm.j.*.partial"))
	if err != nil || len(temps) != 1 {
		t.Fatal(temps, err)
	}
	temp := filepath.Join(temps[0], "disk.raw")
	if err := os.Symlink(filepath.Join(outside, "victim"), temp); err != nil {
		t.Fatal(err)
	}
	if o, err := s.Create("disk.raw", true); err == nil {
		t.Fatal("wrote through a link", o.Close())
	}
	put(t, s, "disk.raw", []byte("mine")) // replaces the link
	if got := list(t, outside); len(got) != 0 {
		t.Fatal(got)
	}
	if err := s.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestUnwritableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(filepath.Join(file, "below"), "."); !fault.Is(err, fault.Unprocessable) {
		t.Fatalf("got %v", err)
	}
	if _, err := New("/proc/nothing-can-be-made-here", "."); err == nil || !strings.HasPrefix(fault.As(err).Code, "HX-DST-") {
		t.Fatalf("got %v", err)
	}
}

func TestSingleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	f, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("visible too early")
	}
	if err := f.Publish(); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFile(path); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
	g, err := CreateFile(path + "2")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := list(t, filepath.Dir(path)); !slices.Equal(got, []string{"disk.qcow2"}) {
		t.Fatal(got)
	}
}
