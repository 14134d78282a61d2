package vmdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const resumeSize = 3*tableSpan + 5*disk.GrainSize

// grains makes compressed grains (as far as Target can tell) over three tables.
func grains(r *rand.Rand) (blocks []disk.Block) {
	for off := int64(0); off < resumeSize; off += disk.GrainSize * (1 + r.Int64N(5)) {
		data := make([]byte, 1+r.IntN(60000))
		noise(r, data)
		blocks = append(blocks, disk.NewBlock(off, disk.GrainSize, disk.Zlib, data, nil))
	}
	return blocks
}

func put(t *testing.T, target *Target, blocks []disk.Block) {
	t.Helper()
	for _, b := range blocks {
		if err := target.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func newTarget(t *testing.T, obj disk.Object) *Target {
	t.Helper()
	target, err := NewTarget(obj, TargetOptions{Size: resumeSize, CID: 7})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// TestKilledAnywhere writes with Marks at random places, loses power at random
// places (of what was not synced, any part may survive, or survive wrong) and
// wants the very same file in the end.
func TestKilledAnywhere(t *testing.T) {
	blocks := grains(rand.New(rand.NewPCG(31, 1)))
	var want memObject
	target := newTarget(t, &want)
	put(t, target, blocks)
	if err := target.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		obj, target := withCrashes(t, r, blocks)
		if err := target.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(obj.data, want.data) {
			t.Fatalf("seed %d: the resumed file differs", seed)
		}
		if sum, size := target.Sum(); sum != sha256.Sum256(want.data) || size != int64(len(want.data)) {
			t.Errorf("seed %d: Sum does not tell of the file", seed)
		}
	}
}

// withCrashes puts all blocks, with Marks and power cuts on the way.
func withCrashes(t *testing.T, r *rand.Rand, blocks []disk.Block) (*memObject, *Target) {
	t.Helper()
	obj := new(memObject)
	target := newTarget(t, obj)
	var records [][]byte
	saved := 0 // blocks below it are in the last record
	for i := 0; i < len(blocks); i++ {
		switch r.IntN(60) {
		case 0, 1:
			record, err := target.Mark()
			if err != nil {
				t.Fatal(err)
			}
			if record != nil {
				records = append(records, record)
			}
			saved = i
		case 2:
			obj.crash(r)
			target = newTarget(t, obj)
			if err := target.Replay(records); err != nil {
				t.Fatal(err)
			}
			i = saved
		}
		put(t, target, blocks[i:i+1])
	}
	return obj, target
}

// crash keeps what was synced and some wrong part of the rest.
func (o *memObject) crash(r *rand.Rand) {
	keep := o.synced + r.IntN(len(o.data)-o.synced+1)
	o.data = append(o.data[:keep], bytes.Repeat([]byte{0xee}, r.IntN(2000))...)
	for range 5 {
		if keep > o.synced {
			o.data[o.synced+r.IntN(keep-o.synced)] ^= 0xff
		}
	}
}

func TestMarkOfNothing(t *testing.T) {
	target := newTarget(t, new(memObject))
	if rec, err := target.Mark(); rec == nil || err != nil {
		t.Error("the first Mark must save the header", err)
	}
	put(t, target, []disk.Block{disk.NewBlock(0, 1<<20, disk.Zero, nil, nil)})
	if rec, err := target.Mark(); rec != nil || err != nil {
		t.Error("a hole needs no record", err)
	}
}

// TestDamagedRecords: a record that is cut, foreign or out of order is refused
// by kind, never by a panic, and never taken.
func TestDamagedRecords(t *testing.T) {
	blocks := grains(rand.New(rand.NewPCG(32, 1)))
	target := newTarget(t, new(memObject))
	var records [][]byte
	for i, b := range blocks {
		put(t, target, []disk.Block{b})
		if i%100 == 99 {
			rec, err := target.Mark()
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rec)
		}
	}
	refused := func(what string, records ...[]byte) {
		t.Helper()
		if err := newTarget(t, new(memObject)).Replay(records); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(records[0]); n += 1 + n/8 {
		refused("cut", records[0][:n])
	}
	refused("cut", records[0][:len(records[0])-1])
	for _, i := range []int{0, 1, 12, 20, 28, 36, 44, len(records[0]) - 108} {
		bad := bytes.Clone(records[0])
		bad[i] ^= 0x80
		refused("changed", bad)
	}
	refused("a gap", records[0], records[4])
	refused("backwards", records[4], records[0])
	other, err := NewTarget(new(memObject), TargetOptions{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Replay(records); !fault.Is(err, fault.Conflict) {
		t.Errorf("another disk: %v", err)
	}
}

// TestReplayWithoutWay: an error of the object is not taken for a bad record.
func TestReplayWithoutWay(t *testing.T) {
	target := newTarget(t, WriterObject(new(bytes.Buffer)))
	rec, err := target.Mark()
	if err != nil {
		t.Fatal(err)
	}
	err = newTarget(t, WriterObject(new(bytes.Buffer))).Replay([][]byte{rec})
	if err == nil || fault.Is(err, fault.Conflict) {
		t.Errorf("a stream went back: %v", err)
	}
}

// long is a source of raw text that is too large to hold.
type long struct{ size int64 }

func (l long) Info() disk.Info { return disk.Info{Size: l.size} }
func (l long) Close() error    { return nil }
func (l long) Blocks(_ context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		for off := from; off < l.size; off += disk.GrainSize {
			buf := disk.GetBuffer()
			p := buf.B[:grainLen(off, l.size)]
			r := rand.New(rand.NewPCG(uint64(off), 33))
			clear(p)
			noise(r, p[:min(9000, len(p))])
			if !yield(disk.NewBlock(off, int64(len(p)), disk.Raw, p, buf), nil) {
				return
			}
		}
	}
}

// TestCopyResumes lets disk.Copy fail on a full disk and go on.
func TestCopyResumes(t *testing.T) {
	src := long{size: 150<<20 + 512}
	o := TargetOptions{Size: src.size}
	var whole memObject
	target, err := NewTarget(&whole, o)
	if err != nil {
		t.Fatal(err)
	}
	want, err := disk.Copy(t.Context(), target, src, disk.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var (
		records [][]byte
		last    disk.Checkpoint
		obj     = memObject{fail: len(whole.data) * 2 / 3}
	)
	save := func(_ context.Context, c disk.Checkpoint, record []byte) error {
		last, records = c, append(records, record)
		return nil
	}
	if target, err = NewTarget(&obj, o); err != nil {
		t.Fatal(err)
	}
	if _, err = disk.Copy(t.Context(), target, src, disk.CopyOptions{Checkpoint: save}); !errors.Is(err, errDisk) || len(records) == 0 {
		t.Fatalf("%d records, then %v", len(records), err)
	}
	obj.fail = 0
	if target, err = NewTarget(&obj, o); err != nil {
		t.Fatal(err)
	}
	if err := target.Replay(records); err != nil {
		t.Fatal(err)
	}
	got, err := disk.Copy(t.Context(), target, src, disk.CopyOptions{Checkpoint: save, Resume: &last})
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != want.Root || !bytes.Equal(obj.data, whole.data) {
		t.Error("the resumed copy differs")
	}
}

// discardObject takes everything.
type discardObject struct{}

func (discardObject) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (discardObject) Truncate(int64) error                   { return nil }
func (discardObject) Sync() error                            { return nil }

// TestTwoTiB: sector numbers have 32 bits; beyond them there is an error on
// both sides, not a wrap.
func TestTwoTiB(t *testing.T) {
	target := newTarget(t, discardObject{})
	target.out.off = (math.MaxUint32+1)*sectorSize - 2*disk.GrainSize
	target.out.buf = target.out.buf[:0]
	var err error
	for off := int64(0); err == nil && off < 8*disk.GrainSize; off += disk.GrainSize {
		err = target.Put(t.Context(), disk.NewBlock(off, disk.GrainSize, disk.Zlib, make([]byte, disk.GrainSize), nil))
	}
	if !fault.Is(err, fault.Unprocessable) {
		t.Errorf("write: %v", err)
	}
	s, err := ReadStream(bytes.NewReader(build(t, content(1<<20, 34))), StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.in.pos += 1 << 41
	if err := drain(s.Blocks()); !fault.Is(err, fault.Corrupt) {
		t.Errorf("read: %v", err)
	}
}
