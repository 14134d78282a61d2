package qcow2

import (
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// codec makes the stored form of clusters. Safe for concurrent use.
type codec interface {
	// accepts tells which encodings encode takes, besides Raw.
	accepts(enc disk.Encoding) bool
	// stores tells which encoding compressed clusters of the file have.
	stores() disk.Encoding
	// encode turns a block into that encoding, shorter than a cluster and for
	// one whole cluster, or into Raw.
	encode(b *disk.Block) error
}

func newCodec(kind Compression, level int) (codec, error) {
	switch {
	case kind == None:
		return nil, nil //nolint:nilnil // no compression has no codec
	case kind == Zlib && 0 <= level && level <= 9:
		return newDeflater(level), nil
	case kind == Zstd && 0 <= level && level <= 22:
		return newZstder(level)
	default:
		return nil, fault.Newf(fault.Invalid, "HX-QCOW-002", "use level 1 to 9 with zlib, 1 to 22 with zstd, or 0 for the default",
			"compression %d with level %d is not possible", kind, level)
	}
}

// compress replaces a Raw block by what squeeze makes of it, if that is not
// empty. squeeze gets a whole cluster, and less than a cluster to write to.
func compress(b *disk.Block, enc disk.Encoding, squeeze func(dst, src []byte) []byte) {
	src := b.Data
	if len(src) < clusterSize {
		whole := disk.GetBuffer()
		defer whole.Release()
		clear(whole.B[copy(whole.B, src):clusterSize])
		src = whole.B[:clusterSize]
	}
	buf := disk.GetBuffer()
	if out := squeeze(buf.B[:clusterSize-1], src); len(out) > 0 {
		b.Replace(enc, out, buf)
		return
	}
	buf.Release()
}

// expand replaces a block in another encoding by its content, which decode
// writes to dst.
func expand(b *disk.Block, decode func(dst, src []byte) (int, error)) error {
	if b.Len <= 0 || b.Len > clusterSize {
		return misuse(b, "is longer than a grain")
	}
	buf := disk.GetBuffer()
	out := buf.B[:b.Len]
	if n, err := decode(out, b.Data); err != nil || n != len(out) {
		buf.Release()
		return &fault.Error{
			Kind: fault.Corrupt, Code: "HX-QCOW-004",
			Msg: "a compressed grain of the source is damaged",
			Fix: "run the export again; if it stays, check the source's storage and the network path",
			Err: err,
		}
	}
	b.Replace(disk.Raw, out, buf)
	return nil
}
