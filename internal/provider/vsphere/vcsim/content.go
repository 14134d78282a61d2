package vcsim

import (
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim/guest"
)

// contentUnit is the granularity in bytes of generated content.
const contentUnit = 256 << 10

// filler is the type of Disk.Fill.
type filler = func(w io.WriterAt, size int64) (string, error)

// random fills a disk with bytes that do not compress.
func random(seed uint64) filler {
	return func(w io.WriterAt, size int64) (string, error) {
		return "", fill(w, size, seed, 100, func(r *rand.ChaCha8, p []byte) { _, _ = r.Read(p) })
	}
}

// mixed fills percent of a disk's units, the first one always: half of each is
// random, half repeats; the other units are holes.
func mixed(seed uint64, percent int) filler {
	return func(w io.WriterAt, size int64) (string, error) {
		return "", fill(w, size, seed, percent, func(r *rand.ChaCha8, p []byte) {
			_, _ = r.Read(p[:len(p)/2])
			for i := len(p) / 2; i < len(p); i++ {
				p[i] = "the quick brown fox "[i%20]
			}
		})
	}
}

// bootable puts a guest that checks itself on a disk, and mixed content behind
// it.
func bootable(seed uint64, percent int) filler {
	return func(w io.WriterAt, size int64) (string, error) {
		if _, err := mixed(seed, percent)(io.NewOffsetWriter(w, guest.MinSize), size-guest.MinSize); err != nil {
			return "", err
		}
		return guest.Write(w, size, seed) //nolint:wrapcheck // says what it was doing
	}
}

func fill(w io.WriterAt, size int64, seed uint64, percent int, unit func(*rand.ChaCha8, []byte)) error {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	buf := make([]byte, contentUnit)
	for off := int64(0); off < size; off += contentUnit {
		if off > 0 && int(r.Uint64()%100) >= percent { //nolint:gosec // below 100
			continue
		}
		p := buf[:min(contentUnit, size-off)]
		unit(r, p)
		if _, err := w.WriteAt(p, off); err != nil {
			return fmt.Errorf("fill disk: %w", err)
		}
	}
	return nil
}
