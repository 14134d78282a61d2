package vmdk

import (
	"crypto/sha256"
	"encoding"
	"fmt"
	"hash"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// chunkSize is how much is written at a time, in bytes.
const chunkSize = 1 << 20

// appender writes a file from front to back in chunks that end at multiples of
// chunkSize, and hashes each chunk in a goroutine of its own while the chunk is
// written and the next one filled. After an error it is unusable.
type appender struct {
	obj   disk.Object
	sum   hash.Hash     // of all bytes below off; only after wait
	buf   []byte        // staged, not yet written
	spare []byte        // the chunk before; being hashed until busy is closed
	busy  chan struct{} // nil: nothing is being hashed
	off   int64         // offset of buf in the file
}

func newAppender(obj disk.Object) *appender {
	return &appender{obj: obj, sum: sha256.New(), buf: make([]byte, 0, chunkSize), spare: make([]byte, 0, chunkSize)}
}

// pos is the length of the file so far, staged bytes included.
func (a *appender) pos() int64 { return a.off + int64(len(a.buf)) }

// write stages p and writes the chunks that became full.
func (a *appender) write(p []byte) error {
	for len(p) > 0 {
		room := chunkSize - int(a.pos()%chunkSize)
		n := min(room, len(p))
		a.buf = append(a.buf, p[:n]...)
		p = p[n:]
		if n == room {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what is staged.
func (a *appender) flush() error {
	if len(a.buf) == 0 {
		return nil
	}
	a.wait()
	chunk, busy := a.buf, make(chan struct{})
	a.busy = busy
	go func() { // ends by itself; wait is called before the next one starts
		defer close(busy)
		_, _ = a.sum.Write(chunk)
	}()
	if _, err := a.obj.WriteAt(chunk, a.off); err != nil {
		return fmt.Errorf("vmdk: %w", err)
	}
	a.off += int64(len(chunk))
	a.buf, a.spare = a.spare[:0], chunk
	return nil
}

// wait ends the hashing of the chunk before.
func (a *appender) wait() {
	if a.busy != nil {
		<-a.busy
		a.busy = nil
	}
}

// digest is the SHA-256 of what was flushed.
func (a *appender) digest() (sum [sha256.Size]byte) {
	a.wait()
	a.sum.Sum(sum[:0])
	return sum
}

// state is the inner state of the hash of what was flushed.
func (a *appender) state() ([]byte, error) {
	a.wait()
	m, ok := a.sum.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("vmdk: %T cannot save its state", a.sum)
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("vmdk: save the hash: %w", err)
	}
	return state, nil
}

// restore goes back to a flushed length and its hash.
func (a *appender) restore(off int64, state []byte) error {
	sum := sha256.New()
	m, ok := sum.(encoding.BinaryUnmarshaler)
	if !ok {
		return fmt.Errorf("vmdk: %T cannot restore its state", sum)
	}
	if err := m.UnmarshalBinary(state); err != nil {
		return fmt.Errorf("vmdk: restore the hash: %w", err)
	}
	a.wait()
	a.off, a.buf, a.sum = off, a.buf[:0], sum
	return nil
}

// truncate cuts the file off behind what was flushed.
func (a *appender) truncate() error {
	if err := a.obj.Truncate(a.off); err != nil {
		return fmt.Errorf("vmdk: %w", err)
	}
	return nil
}
