package disk

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// mth is RFC 9162 section 2.1.1 word by word: the oracle of Digest.
func mth(leaves [][]byte) Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := mth(leaves[:k]), mth(leaves[k:])
		return sha256.Sum256(bytes.Join([][]byte{{1}, l[:], r[:]}, nil))
	}
}

func cut(content []byte) (leaves [][]byte) {
	for len(content) > 0 {
		n := min(GrainSize, len(content))
		leaves, content = append(leaves, content[:n]), content[n:]
	}
	return leaves
}

// feed appends content with zero runs found greedily, as Copy does.
func feed(d *Digest, content []byte, from int64) {
	h := NewLeafHasher()
	for i, leaf := range cut(content) {
		off := int64(i) * GrainSize
		if off < from || IsZero(leaf) {
			continue
		}
		d.Zeros(off)
		d.Leaf(h.Sum(leaf))
	}
	d.Zeros(d.size)
}

func sparse(rng *rand.Rand, size int64) []byte {
	p := make([]byte, size)
	for off := int64(0); off < size; {
		run := GrainSize * (1 + rng.Int64N(40))
		if rng.IntN(2) == 0 {
			for o := off; o < min(off+run, size); o += GrainSize {
				p[o] = byte(1 + rng.IntN(255))
			}
		}
		off += run
	}
	return p
}

func TestDigestIsRFC9162(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int64{0, 1, 512, GrainSize - 512, GrainSize, GrainSize + 512, 7 * GrainSize, 64 * GrainSize, 100*GrainSize + 512}
	for _, size := range sizes {
		for range 20 {
			content := sparse(rng, size)
			d := NewDigest(size)
			feed(d, content, 0)
			if got, want := d.Root(), mth(cut(content)); got != want {
				t.Fatalf("size %d: root %x, want %x", size, got, want)
			}
			checkRanges(t, d, content)
		}
	}
}

func checkRanges(t *testing.T, d *Digest, content []byte) {
	t.Helper()
	var want []Hash
	for off := int64(0); off < d.size; off += d.RangeSize() {
		want = append(want, mth(cut(content[off:min(off+d.RangeSize(), d.size)])))
	}
	got := d.Ranges()
	if len(got) != len(want) {
		t.Fatalf("size %d: %d ranges, want %d", d.size, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("size %d: range %d differs", d.size, i)
		}
	}
}

func TestDigestGoesOnFromItsState(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const size = 90*GrainSize + 512
	for range 50 {
		content := sparse(rng, size)
		cutAt := rng.Int64N(90) * GrainSize
		d := NewDigest(size)
		h := NewLeafHasher()
		for i, leaf := range cut(content[:cutAt]) {
			if !IsZero(leaf) {
				d.Zeros(int64(i) * GrainSize)
				d.Leaf(h.Sum(leaf))
			}
		}
		d.Zeros(cutAt)
		state, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again, err := UnmarshalDigest(state)
		if err != nil {
			t.Fatal(err)
		}
		feed(again, content, cutAt)
		if again.Root() != mth(cut(content)) {
			t.Fatalf("cut at %d: another root after the restart", cutAt)
		}
		checkRanges(t, again, content)
	}
}

func TestDigestOfAHugeEmptyDiskIsCheap(t *testing.T) {
	const size = 1 << 46 // 64 TiB
	d := NewDigest(size)
	d.Zeros(size)
	h := zeroLeaf
	for n := leafCount(size); n > 1; n /= 2 {
		h = nodeHash(h, h)
	}
	if d.Root() != h {
		t.Fatal("wrong root")
	}
	if n := len(d.Ranges()); n > maxRanges {
		t.Fatalf("%d ranges", n)
	}
}

func FuzzUnmarshalDigest(f *testing.F) {
	d := NewDigest(20 * GrainSize)
	d.Zeros(17 * GrainSize)
	state, _ := d.MarshalBinary()
	f.Add(state)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := UnmarshalDigest(b)
		if err != nil {
			return
		}
		back, err := d.MarshalBinary()
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("accepted a state that is not its own: %x", b)
		}
	})
}
