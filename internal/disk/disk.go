// Package disk moves the content of virtual disks: a Source yields blocks in
// ascending order, Copy hashes them (Merkle digest) and hands them to a Target.
// Codecs for image formats live in the packages below this one.
package disk

import (
	"context"
	"io"
	"iter"
	"sync"
)

// GrainSize is the unit of the pipeline in bytes: a VMDK grain, a qcow2
// cluster and a Merkle leaf are all 64 KiB of virtual disk.
const GrainSize = 64 << 10

// Encoding tells how Block.Data holds the content.
type Encoding uint8

const (
	// Raw data: len(Data) == Len.
	Raw Encoding = iota
	// Zlib is one RFC 1950 stream that inflates to exactly Len bytes, Len <=
	// GrainSize. A VMDK grain can pass through unchanged.
	Zlib
	// Deflate is one RFC 1951 stream (qcow2 compressed cluster); same rule.
	Deflate
	// Zstd is one RFC 8878 frame; same rule.
	Zstd
	// Zero says that all Len bytes are zero; Data is nil. Off and Len may cover any
	// number of grains.
	Zero
)

// Block is a piece of a virtual disk. Off is a multiple of GrainSize. A Raw,
// Zlib, Deflate or Zstd block covers exactly one grain: Len is GrainSize, or
// less for the last grain of the disk. A Zero block covers a run.
//
// The consumer owns Data until it calls Release, exactly once.
type Block struct {
	Off  int64
	Len  int64
	Enc  Encoding
	Data []byte
	buf  *Buffer
}

// NewBlock makes a block whose Data lies in buf (or nowhere, if buf is nil).
func NewBlock(off, length int64, enc Encoding, data []byte, buf *Buffer) Block {
	return Block{Off: off, Len: length, Enc: enc, Data: data, buf: buf}
}

// Release gives the buffer back. The block must not be used after it.
func (b *Block) Release() {
	if b.buf != nil {
		b.buf.Release()
		b.buf = nil
	}
	b.Data = nil
}

// Replace gives the block another form of the same content and frees the old one.
func (b *Block) Replace(enc Encoding, data []byte, buf *Buffer) {
	if b.buf != nil {
		b.buf.Release()
	}
	b.Enc, b.Data, b.buf = enc, data, buf
}

// Buffer is pooled memory that holds one grain in any encoding: B has room for
// GrainSize plus the most that deflate or zstd can add.
type Buffer struct{ B []byte }

// BufferSize is the capacity of a pooled buffer.
const BufferSize = GrainSize + 4096

var pool = sync.Pool{New: func() any { return &Buffer{B: make([]byte, BufferSize)} }}

// GetBuffer takes a buffer from the pool; B has length BufferSize and any content.
func GetBuffer() *Buffer {
	b, _ := pool.Get().(*Buffer) // the pool holds nothing else
	return b
}

// Release returns the buffer to the pool.
func (b *Buffer) Release() { pool.Put(b) }

// Info describes a frozen disk.
type Info struct {
	Key      string // stable within the VM, e.g. the vSphere device key
	Name     string // for people, e.g. "Hard disk 1"
	Size     int64  // virtual size in bytes; a multiple of 512
	Used     int64  // estimate of allocated bytes; 0 if unknown
	Identity string // changes whenever the content may have: resume compares it
	// Transport says how the bytes come ("range", "nfc", "file") and Reason why
	// this one was chosen.
	Transport string
	Reason    string
}

// Source is the content of one disk at one point in time.
type Source interface {
	Info() Info
	// Blocks yields blocks in strictly ascending order from offset from (a
	// multiple of GrainSize) to the end. What is not covered is zero. After an
	// error nothing follows; a source that ends without an error has proved
	// that it was complete. Breaking out of the loop stops all its goroutines.
	// A source that cannot seek reads and drops what lies before from.
	Blocks(ctx context.Context, from int64) iter.Seq2[Block, error]
	// Close frees what the source holds. It is idempotent.
	Close() error
}

// Checked is a Source whose origin states a checksum of the transferred stream,
// e.g. HttpNfcLeaseGetManifest. After Blocks ended without an error,
// Origin returns what was compared, or nil if the origin states nothing.
type Checked interface {
	Origin() *Origin
}

// Origin is the evidence that what arrived is what the origin sent.
type Origin struct {
	Algorithm string `json:"algorithm"` // sha1, sha256
	Sum       string `json:"sum"`       // hex, computed here and equal to the origin's statement
	Bytes     int64  `json:"bytes"`
}

// Target takes the blocks of one disk in ascending order.
type Target interface {
	// Accepts tells which encodings Encode wants to see as they come. Copy hands
	// anything else over decoded, as Raw.
	Accepts(enc Encoding) bool
	// Encode turns a block into the form that Put wants (compress, re-frame),
	// by Block.Replace. Copy calls it concurrently: it must not touch state that
	// Put uses. Zero blocks are not encoded.
	Encode(b *Block) error
	// Put appends the block. Calls come in ascending order from one goroutine.
	// Put takes over the block and releases it. Gaps and Zero blocks are holes.
	Put(ctx context.Context, b Block) error
	// Finish writes what is still owed (tables, footer, header last). It does
	// not commit or close the object below. After Finish only Close is called.
	Finish(ctx context.Context) error
}

// Resumable is a Target that can go on after a crash.
//
// Mark makes everything Put so far durable (fsync of the object) and returns a
// record of what changed since the last Mark; nil records are not stored.
// Replay, on a fresh target over the same (uncommitted) object, takes all
// records in order and leaves the target as it was at the last Mark: what was
// written after it is truncated or will be overwritten.
type Resumable interface {
	Target
	Mark() ([]byte, error)
	Replay(records [][]byte) error
}

// Object is where a Target writes: a file (or later an S3 object) that nobody
// sees before its Commit. Writes ascend, except inside the first Head bytes
// that the creator declared. What is never written reads as zero.
type Object interface {
	io.WriterAt
	// Truncate sets the length.
	Truncate(size int64) error
	// Sync makes what was written so far durable.
	Sync() error
}
