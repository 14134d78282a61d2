package main

import (
	"crypto/sha256"
	"io"
	"os"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk/inflate"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
)

// floor is what the unavoidable work costs on one core of this machine: the
// least CPU time that a verified conversion of the disk could take.
type floor struct {
	inflate time.Duration // of every grain
	hash    time.Duration // SHA-256 of the content
	copy    time.Duration // one pass of the content through memory
	bytes   int64         // of content that is not a hole
}

func (b *bench) floor() (floor, error) {
	f, err := os.Open(b.vmdk)
	if err != nil {
		return floor{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	s, err := vmdk.ReadStream(f, vmdk.StreamOptions{})
	if err != nil {
		return floor{}, err
	}
	var fl floor
	plain, other := make([]byte, 64<<10), make([]byte, 64<<10)
	for block, err := range s.Blocks() {
		if err != nil {
			return floor{}, err
		}
		t0 := time.Now()
		n, err := inflate.Zlib(plain, block.Data)
		if err != nil {
			return floor{}, err
		}
		t1 := time.Now()
		sha256.Sum256(plain[:n])
		t2 := time.Now()
		copy(other, plain[:n])
		t3 := time.Now()
		fl.inflate, fl.hash, fl.copy, fl.bytes = fl.inflate+t1.Sub(t0), fl.hash+t2.Sub(t1), fl.copy+t3.Sub(t2), fl.bytes+int64(n)
		block.Release()
	}
	_, err = f.Seek(0, io.SeekStart)
	return fl, err
}
