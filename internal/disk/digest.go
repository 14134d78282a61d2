package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Hash is a SHA-256 value.
type Hash [sha256.Size]byte

const (
	leafPrefix = 0x00
	nodePrefix = 0x01

	minRangeLevel = 4    // 16 leaves: 1 MiB
	maxRanges     = 1024 // a disk is located in at most that many ranges
	maxLevel      = 48   // 2^48 leaves are far beyond any disk
)

// Digest computes the Merkle root over the logical content of a disk: RFC 9162
// section 2.1 hashing with SHA-256, leaves of GrainSize bytes in order, the last
// one as short as the disk ends. It also keeps the roots of equal ranges (inner
// nodes of the same tree), so that a difference can be located.
//
// Memory is O(log n) plus at most 1,024 range roots. It is not safe for
// concurrent use; leaves are hashed elsewhere (LeafHasher).
type Digest struct {
	size   int64
	leaves int64  // appended so far
	stack  []Hash // roots of the complete subtrees, largest first
	level  int    // of a range
	ranges []Hash
	zero   *zeroTree
}

// NewDigest starts the digest of a disk of size bytes.
func NewDigest(size int64) *Digest {
	d := &Digest{size: size, zero: newZeroTree(), level: minRangeLevel}
	for leafCount(size)>>d.level > maxRanges {
		d.level++
	}
	return d
}

func leafCount(size int64) int64 { return (size + GrainSize - 1) / GrainSize }

// Offset is the logical offset up to which leaves were appended.
func (d *Digest) Offset() int64 { return min(d.leaves*GrainSize, d.size) }

// RangeSize is the number of bytes that one range root covers.
func (d *Digest) RangeSize() int64 { return GrainSize << d.level }

// Leaf appends the hash of the next leaf.
func (d *Digest) Leaf(h Hash) { d.push(h, 0) }

// Zeros appends zero leaves up to the offset: a multiple of GrainSize, or the
// size of the disk. It costs O(log n), not O(bytes).
func (d *Digest) Zeros(to int64) {
	full := min(to, d.size) / GrainSize
	for d.leaves < full {
		// The largest aligned subtree that fits.
		level := bits.TrailingZeros64(uint64(d.leaves) | 1<<maxLevel)
		for int64(1)<<level > full-d.leaves {
			level--
		}
		d.push(d.zero.node(level), level)
	}
	if tail := d.size % GrainSize; tail != 0 && to >= d.size && d.Offset() < d.size {
		d.push(NewLeafHasher().Sum(make([]byte, tail)), 0)
	}
}

// push appends a complete subtree of 2^level leaves at an aligned position.
func (d *Digest) push(h Hash, level int) {
	if level >= d.level {
		for range int64(1) << (level - d.level) {
			// Only zero subtrees come in larger than a range.
			d.ranges = append(d.ranges, d.rangeRoot(h, level))
		}
	}
	d.leaves += int64(1) << level
	for n := d.leaves >> level; n&1 == 0; n >>= 1 {
		last := len(d.stack) - 1
		h = nodeHash(d.stack[last], h)
		d.stack = d.stack[:last]
		level++
		if level == d.level {
			d.ranges = append(d.ranges, h)
		}
	}
	d.stack = append(d.stack, h)
}

func (d *Digest) rangeRoot(h Hash, level int) Hash {
	if level == d.level {
		return h
	}
	return d.zero.node(d.level)
}

// Root returns the root over the leaves so far; call it when Offset is the size.
func (d *Digest) Root() Hash { return fold(d.stack) }

// Ranges returns the roots of the ranges so far; the last may be of a short one.
func (d *Digest) Ranges() []Hash {
	out := append([]Hash(nil), d.ranges...)
	if d.leaves&(1<<d.level-1) != 0 {
		low := bits.OnesCount64(uint64(d.leaves) & (1<<d.level - 1))
		out = append(out, fold(d.stack[len(d.stack)-low:]))
	}
	return out
}

// Equal tells whether both have seen the same content so far.
func (d *Digest) Equal(o *Digest) bool {
	return d.size == o.size && d.leaves == o.leaves && d.Root() == o.Root()
}

func fold(stack []Hash) Hash {
	if len(stack) == 0 {
		return sha256.Sum256(nil) // the root of an empty tree
	}
	h := stack[len(stack)-1]
	for i := len(stack) - 2; i >= 0; i-- {
		h = nodeHash(stack[i], h)
	}
	return h
}

func nodeHash(l, r Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = nodePrefix
	copy(b[1:], l[:])
	copy(b[1+sha256.Size:], r[:])
	return sha256.Sum256(b[:])
}

// MarshalBinary returns the state, for a checkpoint.
func (d *Digest) MarshalBinary() ([]byte, error) {
	b := make([]byte, 16, 16+(len(d.stack)+len(d.ranges))*sha256.Size)
	binary.LittleEndian.PutUint64(b[0:], uint64(d.size))
	binary.LittleEndian.PutUint64(b[8:], uint64(d.leaves))
	for _, h := range d.stack {
		b = append(b, h[:]...)
	}
	for _, h := range d.ranges {
		b = append(b, h[:]...)
	}
	return b, nil
}

// UnmarshalDigest restores a state made by MarshalBinary. Anything that cannot
// be one is of kind Corrupt.
func UnmarshalDigest(b []byte) (*Digest, error) {
	bad := fault.New(fault.Corrupt, "HX-DISK-001", "the checkpoint of the digest is damaged", "the disk is copied from the start")
	if len(b) < 16 {
		return nil, bad
	}
	size, leaves := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	if size < 0 || leaves < 0 || leaves > leafCount(size) {
		return nil, bad
	}
	d := NewDigest(size)
	d.leaves = leaves
	nStack, nRanges := bits.OnesCount64(uint64(leaves)), int(leaves>>d.level)
	if b = b[16:]; len(b) != (nStack+nRanges)*sha256.Size {
		return nil, fmt.Errorf("%d bytes of hashes for %d leaves: %w", len(b), leaves, bad)
	}
	hashes := make([]Hash, nStack+nRanges)
	for i := range hashes {
		copy(hashes[i][:], b[i*sha256.Size:])
	}
	d.stack, d.ranges = hashes[:nStack:nStack], hashes[nStack:]
	return d, nil
}

// LeafHasher hashes leaves; one per goroutine.
type LeafHasher struct{ h hash.Hash }

// NewLeafHasher makes one.
func NewLeafHasher() *LeafHasher { return &LeafHasher{h: sha256.New()} }

// Sum returns SHA-256(0x00 || data).
func (l *LeafHasher) Sum(data []byte) (out Hash) {
	l.h.Reset()
	_, _ = l.h.Write([]byte{leafPrefix}) // a hash never fails
	_, _ = l.h.Write(data)
	l.h.Sum(out[:0])
	return out
}

// zeroTree holds the roots of all-zero subtrees by level, made when needed.
type zeroTree struct{ nodes []Hash }

func newZeroTree() *zeroTree {
	return &zeroTree{nodes: []Hash{zeroLeaf}}
}

var zeroLeaf = NewLeafHasher().Sum(make([]byte, GrainSize))

func (z *zeroTree) node(level int) Hash {
	for len(z.nodes) <= level {
		h := z.nodes[len(z.nodes)-1]
		z.nodes = append(z.nodes, nodeHash(h, h))
	}
	return z.nodes[level]
}
