package vcsim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// damage is a place in a stream where bytes are flipped; nothing with n 0.
type damage struct{ off, n int64 }

// apply flips what of p, which begins at pos, is damaged.
func (d damage) apply(p []byte, pos int64) {
	for at := max(d.off, pos); at < min(d.off+d.n, pos+int64(len(p))); at++ {
		p[at-pos] ^= 0x5a
	}
}

// damageAt finds a place in the middle of the compressed data of the first
// grain at or after an offset of the virtual disk. It waits until the stream is
// complete.
func (st *stream) damageAt(ctx context.Context, offset int64) (damage, error) {
	size, err := st.complete(ctx)
	if err != nil {
		return damage{}, err
	}
	const sector = 512
	var head [sector]byte
	if _, err := st.f.ReadAt(head[:], 0); err != nil {
		return damage{}, fmt.Errorf("read stream: %w", err)
	}
	le := binary.LittleEndian
	for at := int64(le.Uint64(head[64:])) * sector; at < size; {
		if _, err := st.f.ReadAt(head[:], at); err != nil && !errors.Is(err, io.EOF) {
			return damage{}, fmt.Errorf("read stream: %w", err)
		}
		lba, n := int64(le.Uint64(head[0:])), int64(le.Uint32(head[8:]))
		if n == 0 { // a table: its length in sectors follows the marker
			at += (1 + lba) * sector
			continue
		}
		if lba*sector >= offset {
			return damage{off: at + 12 + n/2, n: min(8, n-n/2)}, nil
		}
		at += (12 + n + sector - 1) / sector * sector
	}
	return damage{}, fmt.Errorf("there is no grain at or after %d to damage", offset)
}
