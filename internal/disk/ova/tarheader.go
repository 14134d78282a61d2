package ova

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math"
	"time"
)

const (
	tarBlock   = 512
	tarTrailer = 2 * tarBlock // two zero blocks end an archive
	// ustarMax is the largest size that the 11 octal digits of USTAR hold.
	ustarMax = 1<<33 - 1
	// mtimeMax is the same for seconds since 1970.
	mtimeMax = 1<<33 - 1
	// maxFile leaves room for the rest of an archive in an int64.
	maxFile = math.MaxInt64 >> 1
)

// tarHeader makes the one block before a member: USTAR, and from 8 GiB on the
// GNU form with a binary size. Never PAX: vSphere does not read it, and its
// extra blocks break readers that take the data to follow one header. The
// owner is 0:0 without names and the mode 0644, as open-vmdk does, so that the
// bytes do not depend on the machine.
func tarHeader(name string, size int64, mtime time.Time) ([]byte, error) {
	h := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Mode:     0o644,
		Size:     size,
		ModTime:  time.Unix(min(max(mtime.Unix(), 0), mtimeMax), 0),
		Format:   tar.FormatUSTAR,
	}
	if size > ustarMax {
		h.Format = tar.FormatGNU
	}
	var block bytes.Buffer
	if err := tar.NewWriter(&block).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("tar header of %q: %w", name, err)
	}
	if block.Len() != tarBlock {
		return nil, fmt.Errorf("tar header of %q takes %d bytes", name, block.Len())
	}
	return block.Bytes(), nil
}

// roundUp returns the room that n bytes of content take in an archive.
func roundUp(n int64) int64 { return (n + tarBlock - 1) &^ (tarBlock - 1) }

// smallMember makes the bytes of a member that is known whole: header, content,
// padding.
func smallMember(name string, data []byte, mtime time.Time) ([]byte, error) {
	block, err := tarHeader(name, int64(len(data)), mtime)
	if err != nil {
		return nil, err
	}
	out := make([]byte, tarBlock+roundUp(int64(len(data))))
	copy(out, block)
	copy(out[tarBlock:], data)
	return out, nil
}
