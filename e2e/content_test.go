//go:build e2e

package e2e

import (
	"io"
	"math/rand/v2"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

const mib = 1 << 20

// dense is a disk without a hole, half of which compresses.
func dense(size int64, seed uint64) vcsim.Disk { return filled(size, seed, 1) }

// holed is a disk of which two thirds are holes.
func holed(size int64, seed uint64) vcsim.Disk { return filled(size, seed, 3) }

// filled is a disk on which every n-th MiB holds data.
func filled(size int64, seed uint64, n int64) vcsim.Disk {
	return vcsim.Disk{Size: size, Fill: func(w io.WriterAt, size int64) (string, error) {
		r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
		buf := make([]byte, mib)
		for off := int64(0); off < size; off += n * mib {
			p := buf[:min(mib, size-off)]
			_, _ = r.Read(p[:len(p)/2])
			for i := len(p) / 2; i < len(p); i++ {
				p[i] = "all work and no play "[i%21]
			}
			if _, err := w.WriteAt(p, off); err != nil {
				return "", err
			}
		}
		return "", nil
	}}
}
