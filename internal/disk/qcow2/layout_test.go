package qcow2_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
)

// Refcount blocks change every 2 GiB of file. The counts are right whatever
// meets that border: plain and packed clusters, tables, the end of the file, a
// mark before or behind it.
func TestRefcountBlockBorders(t *testing.T) {
	d := &fake{size: 3 * gib, content: alternating}
	for _, start := range []int64{0, 8180, 20000} {
		for i := range int64(25) {
			d.only = append(d.only, start+i)
		}
	}
	raw := d.writeRaw(t)
	for kind, c := range compressions {
		for before := range int64(6) {
			for _, marks := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, before, marks), func(t *testing.T) {
					shift := before * disk.GrainSize
					if c != qcow2.None {
						shift = before*disk.GrainSize/2 + before*1001
					}
					oracle(t, raw, jumpy(t, d, c, shift, marks))
				})
			}
		}
	}
}

// jumpy writes the disk so that a border comes the given number of bytes behind
// the first cluster, another one in the middle, and with marks all over.
func jumpy(t *testing.T, d *fake, c qcow2.Compression, shift int64, marks bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	file, err := os.Create(path)
	check(t, err)
	defer file.Close()
	o := qcow2.TargetOptions{Size: d.size, Compression: c}
	target, err := qcow2.NewTarget(file, o)
	check(t, err)
	var records [][]byte
	for i := range d.grains() {
		switch i {
		case 1:
			check(t, target.Jump(qcow2.BlockSpan-shift))
		case 20000:
			check(t, target.Jump(2*qcow2.BlockSpan-shift))
		}
		if p := d.at(i); len(p) > 0 {
			b := disk.NewBlock(i*disk.GrainSize, int64(len(p)), disk.Raw, p, nil)
			check(t, target.Encode(&b))
			check(t, target.Put(t.Context(), b))
		}
		if !marks || i%3 != 1 {
			continue
		}
		r, err := target.Mark()
		check(t, err)
		if r != nil {
			records = append(records, r)
		}
		if i%4 != 0 {
			continue
		}
		target, err = qcow2.NewTarget(file, o)
		check(t, err)
		check(t, target.Replay(records))
	}
	check(t, target.Finish(t.Context()))
	return path
}

// A packed cluster never lies across such a border.
func TestPackedAtBorder(t *testing.T) {
	d := &fake{size: gib, content: text}
	for i := range int64(40) {
		d.only = append(d.only, i)
	}
	raw := d.writeRaw(t)
	for kind, c := range compressions {
		for _, before := range []int64{1, 511, 512, 5000, 70000, 200000} {
			if c != qcow2.None {
				t.Run(fmt.Sprint(kind, before), func(t *testing.T) {
					oracle(t, raw, jumpy(t, d, c, before, false))
				})
			}
		}
	}
}

// The file may end on either side of such a border, or on it.
func TestEndAtBorder(t *testing.T) {
	d := &fake{size: gib, content: text, only: []int64{0, 1}}
	raw := d.writeRaw(t)
	for kind, c := range compressions {
		for before := int64(1); before < 7; before++ {
			t.Run(fmt.Sprint(kind, before), func(t *testing.T) {
				oracle(t, raw, jumpy(t, d, c, before*disk.GrainSize, false))
			})
		}
	}
}
