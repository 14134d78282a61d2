package vcsim

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// extent is a run of bytes.
type extent struct{ off, n int64 }

// dataExtents yields what the file system has allocated of f in [from, size),
// found by SEEK_DATA and SEEK_HOLE; a file system that cannot tell shows all as
// one extent. An error ends the sequence.
func dataExtents(f *os.File, from, size int64) iter.Seq2[extent, error] {
	return func(yield func(extent, error) bool) {
		for off := from; off < size; {
			data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				return
			}
			if err != nil {
				yield(extent{}, fmt.Errorf("seek data in %s: %w", f.Name(), err))
				return
			}
			hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
			if err != nil {
				yield(extent{}, fmt.Errorf("seek hole in %s: %w", f.Name(), err))
				return
			}
			if data >= size {
				return
			}
			if !yield(extent{off: data, n: min(hole, size) - data}, nil) {
				return
			}
			off = hole
		}
	}
}

// allocated returns the bytes that the file takes on its file system, at most
// its length.
func allocated(path string) int64 {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0
	}
	return min(st.Blocks*512, st.Size)
}

// copySparse copies the allocated parts of src to dst, which must read as zero
// before, and gives dst the same length.
func copySparse(dst, src *os.File, size int64) error {
	buf := make([]byte, 1<<20)
	for e, err := range dataExtents(src, 0, size) {
		if err != nil {
			return err
		}
		w := io.NewOffsetWriter(dst, e.off)
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(src, e.off, e.n), buf); err != nil {
			return fmt.Errorf("copy %s: %w", src.Name(), err)
		}
	}
	if err := dst.Truncate(size); err != nil {
		return fmt.Errorf("copy %s: %w", src.Name(), err)
	}
	return nil
}
