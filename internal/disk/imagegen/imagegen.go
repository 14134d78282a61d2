// Package imagegen makes the content of virtual disks for tests and benchmarks:
// holes, text, source code, logs, executables, file-system metadata and what is
// compressed already, mixed as on a real system disk. It compresses like one
// too: zlib level 6 leaves about 0.38 of what can be compressed and 0.55 of all
// that is not a hole.
//
// Content is a pure function of Options and position: a simulated hypervisor
// serves disks of any size without storing them, and two machines have the same.
package imagegen

import (
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// GrainSize is the unit of content in bytes. It equals disk.GrainSize.
const GrainSize = 64 << 10

// maxSize bounds an image: its layout takes some bytes per MiB of memory.
const maxSize = 64 << 40

// Options choose an image.
type Options struct {
	Size int64  // in bytes, at most 64 TiB; need not be a multiple of anything
	Seed uint64 // another seed, another image
}

// Image is the content of one disk. It is immutable and safe for concurrent use.
type Image struct {
	size  int64
	seed  uint64
	runs  []run
	words *vocabulary
}

// New lays an image out. That is quick; content is made when it is asked for.
func New(o Options) (*Image, error) {
	if o.Size < 0 || o.Size > maxSize {
		return nil, fmt.Errorf("imagegen: a size of %d bytes is not within 0 and %d", o.Size, int64(maxSize))
	}
	return &Image{
		size:  o.Size,
		seed:  o.Seed,
		runs:  layOut(o.Seed, grains(o.Size)),
		words: newVocabulary(o.Seed),
	}, nil
}

// grains returns how many grains a size takes, the last one perhaps short.
func grains(size int64) int64 { return (size + GrainSize - 1) / GrainSize }

// Grain fills dst with grain i, or tells that the grain is a hole and leaves dst
// alone. dst is as long as the grain: GrainSize, or less at the end of the disk.
// Every grain that is not a hole has a byte that is not zero.
func (m *Image) Grain(i int64, dst []byte) (zero bool) {
	k := m.kindOf(i)
	if k == hole {
		return true
	}
	clear(dst)
	p := page{out: dst, dice: newDice(m.seed, uint64(i)), words: m.words}
	p.fill(k)
	if dst[0] == 0 {
		dst[0] = 1
	}
	return false
}

// batch is how many grains go into one write.
const batch = 16

// Generate writes the image to w from all cores at once, skipping the holes: w
// must read as zero where nothing is written. If w can be truncated, as a file
// can, it gets the image's length.
func Generate(w io.WriterAt, o Options) error {
	m, err := New(o)
	if err != nil {
		return err
	}
	if t, ok := w.(interface{ Truncate(size int64) error }); ok {
		if err := t.Truncate(o.Size); err != nil {
			return fmt.Errorf("imagegen: %w", err)
		}
	}
	workers := int64(runtime.GOMAXPROCS(0))
	var g errgroup.Group
	for first := range workers {
		g.Go(func() error {
			buf := make([]byte, batch*GrainSize)
			for i := first * batch; i < grains(o.Size); i += workers * batch {
				if err := m.write(w, i, buf); err != nil {
					return fmt.Errorf("imagegen: %w", err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// write writes one batch that begins with grain i, by as few writes as the holes
// allow.
func (m *Image) write(w io.WriterAt, i int64, buf []byte) error {
	off := i * GrainSize
	buf = buf[:min(int64(len(buf)), m.size-off)]
	from := 0
	for at := 0; at < len(buf); at += GrainSize {
		end := min(at+GrainSize, len(buf))
		if !m.Grain(i+int64(at/GrainSize), buf[at:end]) {
			continue
		}
		if err := writeAt(w, buf[from:at], off+int64(from)); err != nil {
			return err
		}
		from = end
	}
	return writeAt(w, buf[from:], off+int64(from))
}

func writeAt(w io.WriterAt, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	_, err := w.WriteAt(p, off)
	return err
}
