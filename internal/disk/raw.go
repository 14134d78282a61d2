package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// RawTarget writes a sparse raw image.
type RawTarget struct {
	obj  Object
	size int64
	pos  int64 // end of the last block
}

// NewRawTarget makes the target of a raw image of size bytes.
func NewRawTarget(obj Object, size int64) *RawTarget { return &RawTarget{obj: obj, size: size} }

// Accepts takes plain content only.
func (t *RawTarget) Accepts(enc Encoding) bool { return enc == Raw }

// Encode has nothing to do.
func (t *RawTarget) Encode(*Block) error { return nil }

// Put writes the block at its offset; a hole stays a hole.
func (t *RawTarget) Put(_ context.Context, b Block) error {
	defer b.Release()
	t.pos = b.Off + b.Len
	if b.Enc == Zero {
		return nil
	}
	if _, err := t.obj.WriteAt(b.Data, b.Off); err != nil {
		return fmt.Errorf("raw: %w", err)
	}
	return nil
}

// Finish sets the length.
func (t *RawTarget) Finish(context.Context) error {
	if err := t.obj.Truncate(t.size); err != nil {
		return fmt.Errorf("raw: %w", err)
	}
	return nil
}

// Mark syncs; the record is the offset reached.
func (t *RawTarget) Mark() ([]byte, error) {
	if err := t.obj.Sync(); err != nil {
		return nil, fmt.Errorf("raw: %w", err)
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(t.pos)), nil
}

// Replay cuts off what was written after the last Mark.
func (t *RawTarget) Replay(records [][]byte) error {
	if n := len(records); n > 0 {
		if len(records[n-1]) != 8 {
			return fault.New(fault.Corrupt, "HX-DISK-003", "the checkpoint of the raw image is damaged", "the disk is copied from the start")
		}
		t.pos = int64(binary.LittleEndian.Uint64(records[n-1]))
	}
	if err := t.obj.Truncate(min(t.pos, t.size)); err != nil {
		return fmt.Errorf("raw: %w", err)
	}
	return nil
}

// RawSource reads a raw image. Holes that the file system knows are skipped.
type RawSource struct {
	r    io.ReaderAt
	info Info
}

// NewRawSource makes a source of the first info.Size bytes of r.
func NewRawSource(r io.ReaderAt, info Info) *RawSource { return &RawSource{r: r, info: info} }

// Info describes the disk.
func (s *RawSource) Info() Info { return s.info }

// Close does nothing: the reader belongs to the caller.
func (s *RawSource) Close() error { return nil }

const rawRead = 1 << 20 // bytes per read

// Blocks yields the data of the file in order.
func (s *RawSource) Blocks(ctx context.Context, from int64) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		scratch := make([]byte, rawRead)
		for off := from; off < s.info.Size; {
			if err := ctx.Err(); err != nil {
				yield(Block{}, context.Cause(ctx))
				return
			}
			start, end := s.extent(off)
			if start >= s.info.Size {
				return
			}
			off = min(end, start+rawRead)
			if !s.read(scratch[:off-start], start, yield) {
				return
			}
		}
	}
}

// read yields the content of one stretch, cut into grains.
func (s *RawSource) read(p []byte, off int64, yield func(Block, error) bool) bool {
	if n, err := s.r.ReadAt(p, off); n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		yield(Block{}, fault.Wrap(err, fault.Unavailable, "HX-DISK-004",
			fmt.Sprintf("the image cannot be read at offset %d", off), "check the storage that holds it"))
		return false
	}
	for len(p) > 0 {
		n := min(len(p), GrainSize)
		if !IsZero(p[:n]) {
			buf := GetBuffer()
			copy(buf.B, p[:n])
			if !yield(NewBlock(off, int64(n), Raw, buf.B[:n], buf), nil) {
				return false
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return true
}

// extent finds the next data at or after off, rounded out to grains.
func (s *RawSource) extent(off int64) (start, end int64) {
	f, ok := s.r.(interface{ Fd() uintptr }) // an *os.File
	if !ok {
		return off, s.info.Size
	}
	data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return s.info.Size, s.info.Size
	}
	if err != nil {
		return off, s.info.Size // the file system does not know
	}
	hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil {
		hole = s.info.Size
	}
	start = max(off, data/GrainSize*GrainSize)
	return start, min((hole+GrainSize-1)/GrainSize*GrainSize, s.info.Size)
}
