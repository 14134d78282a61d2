package qcow2

import (
	"fmt"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// stageSize is the length of a write to the object, which is also aligned to
// it: one memcpy that stays in the cache, few system calls.
const stageSize = 1 << 20

// stage gathers what is appended to the file into large, aligned writes.
type stage struct {
	obj  disk.Object
	buf  []byte // stageSize long; n bytes of it wait
	n    int
	base int64 // where in the file buf begins
}

// pos returns the offset in the file where the next byte goes.
func (s *stage) pos() int64 { return s.base + int64(s.n) }

// room returns the free part of the buffer up to the next border of writes.
func (s *stage) room() []byte { return s.buf[s.n : stageSize-s.base%stageSize] }

// append adds bytes and writes out whenever a border is reached.
func (s *stage) append(p []byte) error {
	for len(p) > 0 {
		n := copy(s.room(), p)
		p = p[n:]
		if err := s.advance(n); err != nil {
			return err
		}
	}
	return nil
}

// pad adds zeros up to the next multiple of align.
func (s *stage) pad(align int64) error {
	for left := -s.pos() & (align - 1); left > 0; {
		room := s.room()
		n := min(left, int64(len(room)))
		clear(room[:n])
		left -= n
		if err := s.advance(int(n)); err != nil {
			return err
		}
	}
	return nil
}

// holds tells whether the offset was appended and not yet written out.
func (s *stage) holds(off int64) bool { return s.base <= off && off < s.pos() }

// patch overwrites bytes that the stage holds.
func (s *stage) patch(off int64, p []byte) { copy(s.buf[off-s.base:s.n], p) }

func (s *stage) advance(n int) error {
	if s.n += n; len(s.room()) > 0 {
		return nil
	}
	return s.flush()
}

// flush writes out what waits.
func (s *stage) flush() error {
	if s.n == 0 {
		return nil
	}
	if _, err := s.obj.WriteAt(s.buf[:s.n], s.base); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	s.base, s.n = s.pos(), 0
	return nil
}
