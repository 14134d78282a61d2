package dir_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

// Files of every awkward length read back as they are on the disk, in any order,
// by several readers at once.
func TestReadBack(t *testing.T) {
	for _, size := range []int{0, 1, 511, 4096, 4097, 1<<20 - 1, 1 << 20, 1<<20 + 512, 3<<20 + 4095} {
		want := make([]byte, size)
		rng := rand.New(rand.NewPCG(uint64(size), 1))
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		root := t.TempDir()
		d, err := dir.New(root, ".")
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Stage(t.Context(), "vm", "job-1")
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Create("disk", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := s.Open("disk")
		if err != nil {
			t.Fatal(err)
		}
		if f.Size() != int64(size) {
			t.Errorf("%d bytes: the size is %d", size, f.Size())
		}
		var all sync.WaitGroup
		for range 4 {
			offs := []int64{0, int64(size) / 2, rng.Int64N(int64(size) + 1), int64(size) - 1, int64(size)}
			all.Go(func() {
				for _, off := range offs {
					compareAt(t, f, want, max(0, off))
				}
			})
		}
		all.Wait()
		if err := errors.Join(f.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// compareAt reads from an offset to behind the end.
func compareAt(t *testing.T, f io.ReaderAt, want []byte, off int64) {
	t.Helper()
	got := make([]byte, int64(len(want))-off+10)
	n, err := f.ReadAt(got, off)
	if !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], want[off:]) {
		t.Errorf("%d bytes from %d: got %d, %v", len(want), off, n, err)
	}
}

// What was written into the file behind the reader's back is what it reads: the
// kernel keeps the page cache and direct I/O coherent.
func TestReadBackSeesTheFile(t *testing.T) {
	root := t.TempDir()
	d, err := dir.New(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Stage(t.Context(), "vm", "job-1")
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Create("disk", false)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("content "), 1<<17)
	if _, err := o.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, ".vm.*", "disk"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	plain, err := os.OpenFile(paths[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(want[5000:], "flipped")
	if _, err := plain.WriteAt([]byte("flipped"), 5000); err != nil { // dirty in the page cache
		t.Fatal(err)
	}
	f, err := s.Open("disk")
	if err != nil {
		t.Fatal(err)
	}
	compareAt(t, f, want, 0)
	if err := errors.Join(plain.Close(), f.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}
