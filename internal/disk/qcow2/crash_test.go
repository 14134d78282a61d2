package qcow2_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// journal is what a caller keeps of the marks: the records, and how far the disk was.
type journal struct {
	records [][]byte
	next    int64 // grain
}

// attempt writes the rest of a disk with a mark every few grains, until the end
// or the loss of power.
func attempt(t *testing.T, obj *memory, d *fake, o qcow2.TargetOptions, j *journal, r *rand.Rand) error {
	t.Helper()
	target, err := qcow2.NewTarget(obj, o)
	check(t, err)
	if len(obj.data) > 0 {
		if err := target.Replay(j.records); err != nil {
			return err
		}
	}
	for i := range d.grains() {
		if i < j.next {
			continue
		}
		if p := d.at(i); len(p) > 0 {
			b := disk.NewBlock(i*disk.GrainSize, int64(len(p)), disk.Raw, p, nil)
			check(t, target.Encode(&b))
			if err := target.Put(t.Context(), b); err != nil {
				return err
			}
		}
		if r.IntN(8) > 0 {
			continue
		}
		record, err := target.Mark()
		if err != nil {
			return err
		}
		if record != nil {
			j.records = append(j.records, record)
		}
		j.next = i + 1
	}
	return target.Finish(t.Context())
}

func crashDisk() *fake {
	made := map[int64][]byte{}
	d := &fake{size: gib + 512*mib + 512, content: func(i int64) []byte {
		p, ok := made[i]
		if !ok {
			p = alternating(i)
			made[i] = p
		}
		return p
	}}
	for _, start := range []int64{0, 8180, 16380, 24570} {
		for i := range int64(30) {
			if i+start <= d.size/disk.GrainSize {
				d.only = append(d.only, i+start)
			}
		}
	}
	return d
}

// The power goes at random points; after each the file either has no magic or
// is whole, and what Replay goes on from ends in a correct image.
func TestPowerLoss(t *testing.T) {
	d := crashDisk()
	raw := d.writeRaw(t)
	want := rawRoot(t, raw)
	for kind, c := range compressions {
		for seed := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, 7))
			obj, j := &memory{}, &journal{}
			o := qcow2.TargetOptions{Size: d.size, Compression: c}
			for losses := 0; ; losses++ {
				if losses < 8 {
					obj.budget = 1 + r.IntN(40)
				}
				err := attempt(t, obj, d, o, j, r)
				if err == nil && losses >= 8 {
					break
				}
				if err != nil && !errors.Is(err, errPower) {
					t.Fatalf("%s, seed %d: %v", kind, seed, err)
				}
				obj.crash(r) // also behind Finish, before the caller's sync
				if bytes.HasPrefix(obj.data, []byte("QFI")) && measure(t, obj) != want {
					t.Fatalf("%s, seed %d: a file that is not whole has the magic", kind, seed)
				}
			}
			if got := measure(t, obj); got != want {
				t.Fatalf("%s, seed %d: root %x, want %x", kind, seed, got, want)
			}
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			check(t, os.WriteFile(path, obj.data, 0o600))
			oracle(t, raw, path)
		}
	}
}

func measure(t *testing.T, obj *memory) disk.Hash {
	t.Helper()
	src, err := qcow2.Open(obj, int64(len(obj.data)))
	check(t, err)
	res, err := disk.Measure(t.Context(), src, nil)
	check(t, err)
	return res.Root
}

// A crash between Finish and the publication: the header goes before anything
// else changes, so that at no time a header stands over tables that are gone.
func TestReplayAfterFinish(t *testing.T) {
	d := crashDisk()
	o := qcow2.TargetOptions{Size: d.size, Compression: qcow2.Zlib}
	obj, j, r := &memory{}, &journal{}, rand.New(rand.NewPCG(1, 1))
	check(t, attempt(t, obj, d, o, j, r))
	check(t, obj.Sync())
	for budget := 2; budget <= 4; budget++ {
		again := &memory{data: bytes.Clone(obj.data), durable: bytes.Clone(obj.data), budget: budget}
		target, err := qcow2.NewTarget(again, o)
		check(t, err)
		err = target.Replay(j.records)
		if (err == nil) != (budget == 4) {
			t.Fatalf("budget %d: %v", budget, err)
		}
		shorter := len(again.data) < len(obj.data)
		again.crash(r)
		if magic := bytes.HasPrefix(again.data, []byte("QFI")); magic && shorter {
			t.Errorf("budget %d: the header outlived the tables", budget)
		}
	}
}

// Without new data there is nothing to record, and no sync.
func TestMarkOfNothing(t *testing.T) {
	obj := &memory{}
	target, err := qcow2.NewTarget(obj, qcow2.TargetOptions{Size: mib})
	check(t, err)
	for range 2 {
		record, err := target.Mark()
		if err != nil || record != nil || obj.syncs > 0 {
			t.Fatalf("record %x, %d syncs, %v", record, obj.syncs, err)
		}
		check(t, target.Put(t.Context(), disk.NewBlock(0, mib, disk.Zero, nil, nil)))
	}
	check(t, target.Put(t.Context(), disk.NewBlock(0, disk.GrainSize, disk.Raw, random(1), nil)))
	record, err := target.Mark()
	if err != nil || record == nil || obj.syncs != 1 {
		t.Fatalf("record %x, %d syncs, %v", record, obj.syncs, err)
	}
}

// Records stay small: a few bytes per run of plain clusters, less than ten per
// compressed one.
func TestRecordSize(t *testing.T) {
	for c, most := range map[qcow2.Compression]int{qcow2.None: 64, qcow2.Zlib: 10 * 1024} {
		target, err := qcow2.NewTarget(&sparse{}, qcow2.TargetOptions{Size: gib, Compression: c})
		check(t, err)
		for i := range int64(1024) {
			b := disk.NewBlock(i*disk.GrainSize, disk.GrainSize, disk.Raw, text(i%50), nil)
			check(t, target.Encode(&b))
			check(t, target.Put(t.Context(), b))
		}
		record, err := target.Mark()
		check(t, err)
		if len(record) > most {
			t.Errorf("compression %d: %d bytes for 1,024 clusters", c, len(record))
		}
	}
}

// Records of another target, in another order or damaged are refused, and the
// target is as new then.
func TestReplayRefused(t *testing.T) {
	d := crashDisk()
	o := qcow2.TargetOptions{Size: d.size, Compression: qcow2.Zlib}
	j := &journal{}
	check(t, attempt(t, &memory{}, d, o, j, rand.New(rand.NewPCG(3, 3))))
	good := j.records
	cut := append([][]byte{good[0][:len(good[0])-1]}, good[1:]...)
	cases := map[string]struct {
		o       qcow2.TargetOptions
		records [][]byte
	}{
		"other size":        {qcow2.TargetOptions{Size: d.size + 512, Compression: qcow2.Zlib}, good},
		"other compression": {qcow2.TargetOptions{Size: d.size, Compression: qcow2.Zstd}, good},
		"missing first":     {o, good[1:]},
		"twice":             {o, [][]byte{good[0], good[0]}},
		"backwards":         {o, [][]byte{good[1], good[0]}},
		"cut":               {o, cut},
		"empty":             {o, [][]byte{{}}},
		"longer":            {o, [][]byte{append(bytes.Clone(good[0]), 0)}},
		"version":           {o, [][]byte{append([]byte{9}, good[0][1:]...)}},
	}
	for name, c := range cases {
		obj := &memory{}
		target, err := qcow2.NewTarget(obj, c.o)
		check(t, err)
		if err := target.Replay(c.records); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(obj.data) > 0 {
			t.Errorf("%s: the object was touched", name)
		}
		b := disk.NewBlock(0, disk.GrainSize, disk.Raw, text(0), nil)
		check(t, target.Encode(&b))
		check(t, target.Put(t.Context(), b))
		check(t, target.Finish(t.Context()))
		measure(t, obj)
	}
}

// No record makes Replay panic or Finish write tables out of bounds.
func FuzzReplay(f *testing.F) {
	d := crashDisk()
	for _, c := range []qcow2.Compression{qcow2.None, qcow2.Zlib} {
		target, err := qcow2.NewTarget(&sparse{}, qcow2.TargetOptions{Size: d.size, Compression: c})
		check(f, err)
		for i := range d.grains() {
			if p := d.at(i); len(p) > 0 {
				b := disk.NewBlock(i*disk.GrainSize, int64(len(p)), disk.Raw, p, nil)
				check(f, target.Encode(&b))
				check(f, target.Put(f.Context(), b))
			}
		}
		record, err := target.Mark()
		check(f, err)
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, c := range []qcow2.Compression{qcow2.None, qcow2.Zlib} {
			target, err := qcow2.NewTarget(&sparse{}, qcow2.TargetOptions{Size: d.size, Compression: c})
			check(t, err)
			if target.Replay([][]byte{record, record}) == nil {
				t.Error("the same record fits twice")
			}
			if target.Replay([][]byte{record}) == nil {
				_, err := target.Mark()
				check(t, err)
				check(t, target.Finish(t.Context()))
			}
		}
	})
}
