package vcsim

import (
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/hypersdk/hypersdk/internal/disk/imagegen"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim/guest"
)

// filler is the type of Disk.Fill.
type filler = func(w io.WriterAt, size int64) (string, error)

// system fills a disk like a system disk: text, programs, metadata and holes.
func system(seed uint64) filler {
	return func(w io.WriterAt, size int64) (string, error) { return "", generate(w, 0, size, seed) }
}

// bootable puts a guest that checks itself on a disk, and the content of a
// system disk behind it.
func bootable(seed uint64) filler {
	return func(w io.WriterAt, size int64) (string, error) {
		if err := generate(w, guest.MinSize, size-guest.MinSize, seed); err != nil {
			return "", err
		}
		return guest.Write(w, size, seed)
	}
}

// islands leaves a disk empty but for n pieces of the given length, evenly
// spread; the last one ends with the disk.
func islands(seed uint64, n, length int64) filler {
	return func(w io.WriterAt, size int64) (string, error) {
		for i := range n {
			end := (size - length) * (i + 1) / n
			if err := generate(w, end/imagegen.GrainSize*imagegen.GrainSize, length, seed+uint64(i)); err != nil {
				return "", err
			}
		}
		// The piece above begins at a grain; this one reaches the last byte.
		tail := min(size, 3*512)
		return "", generate(w, size-tail, tail, seed)
	}
}

func generate(w io.WriterAt, off, length int64, seed uint64) error {
	return imagegen.Generate(io.NewOffsetWriter(w, off), imagegen.Options{Size: length, Seed: seed})
}

// random fills a disk with bytes that do not compress.
func random(seed uint64) filler {
	return func(w io.WriterAt, size int64) (string, error) {
		r := rand.NewChaCha8([32]byte{byte(seed)})
		buf := make([]byte, 1<<20)
		for off := int64(0); off < size; off += int64(len(buf)) {
			p := buf[:min(int64(len(buf)), size-off)]
			_, _ = r.Read(p) // never fails
			if _, err := w.WriteAt(p, off); err != nil {
				return "", fmt.Errorf("fill disk: %w", err)
			}
		}
		return "", nil
	}
}
