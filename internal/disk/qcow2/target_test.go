package qcow2_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	lima "github.com/lima-vm/go-qcow2reader"
	limaqcow2 "github.com/lima-vm/go-qcow2reader/image/qcow2"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// disks are the shapes that every compression must get right.
func disks() map[string]*fake {
	list := map[string]*fake{
		"512":          {size: 512, content: text},
		"512 random":   {size: 512, content: random},
		"64K-512":      {size: 64*kib - 512, content: text},
		"64K":          {size: 64 * kib, content: random},
		"64K+512":      {size: 64*kib + 512, content: text},
		"empty":        {size: 10 * mib, content: zeros},
		"no size":      {size: 0, content: zeros},
		"random":       {size: 5*mib + 512, content: random},
		"text":         {size: 5*mib + 1536, content: text},
		"alternating":  {size: 24*mib + 512, content: alternating},
		"half":         {size: 5 * mib, content: half},
		"512M+64K":     {size: 512*mib + 64*kib, content: text, only: []int64{0, 1, 5, 8191, 8192}},
		"1G+512":       {size: gib + 512, content: alternating, only: []int64{0, 1, 2, 3, 4, 5, 6, 8190, 8191, 8192, 8193, 16382, 16383, 16384}},
		"1T far apart": {size: 1 << 40, content: alternating, only: []int64{1, 1 << 20, 1<<24 - 4, 1<<24 - 1}},
	}
	return list
}

var compressions = map[string]qcow2.Compression{"none": qcow2.None, "zlib": qcow2.Zlib, "zstd": qcow2.Zstd}

// Every image is clean and identical for QEMU, for an independent reader and for
// our own, which also find the root that the copy computed.
func TestWrittenImages(t *testing.T) {
	for name, d := range disks() {
		raw := d.writeRaw(t)
		for kind, c := range compressions {
			t.Run(name+"/"+kind, func(t *testing.T) {
				path, want := write(t, d, qcow2.TargetOptions{Compression: c})
				oracle(t, raw, path)
				if got := root(t, path); got != want {
					t.Errorf("read back root %x, want %x", got, want)
				}
				if 0 < d.size && d.size < 100*mib {
					same(t, raw, path)
				}
			})
		}
	}
}

// same compares an image with a raw one by way of an independent reader.
func same(t *testing.T, raw, image string) {
	t.Helper()
	limaqcow2.SetDecompressor(limaqcow2.CompressionTypeZstd, func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	})
	file, err := os.Open(image)
	check(t, err)
	defer file.Close()
	img, err := lima.Open(file)
	check(t, err)
	defer img.Close()
	check(t, img.Readable())
	got := sha256.New()
	_, err = io.Copy(got, io.NewSectionReader(img, 0, img.Size()))
	check(t, err)
	data, err := os.ReadFile(raw)
	check(t, err)
	if want := sha256.Sum256(data); !bytes.Equal(got.Sum(nil), want[:]) {
		t.Error("go-qcow2reader reads other content")
	}
}

func TestLevels(t *testing.T) {
	d := &fake{size: 3*mib + 512, content: alternating}
	raw := d.writeRaw(t)
	for _, o := range []qcow2.TargetOptions{
		{Compression: qcow2.Zlib, Level: 9},
		{Compression: qcow2.Zstd, Level: 3},
		{Compression: qcow2.Zstd, Level: 22},
	} {
		path, _ := write(t, d, o)
		oracle(t, raw, path)
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, o := range []qcow2.TargetOptions{
		{Size: -512}, {Size: 513}, {Size: 64<<40 + 512},
		{Size: 512, Compression: qcow2.Zlib, Level: 10},
		{Size: 512, Compression: qcow2.Zlib, Level: -1},
		{Size: 512, Compression: qcow2.Zstd, Level: 23},
		{Size: 512, Compression: 3},
	} {
		if _, err := qcow2.NewTarget(&memory{}, o); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Unprocessable) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// The largest disk: its tables are correct, also where they end.
func TestLargestDisk(t *testing.T) {
	const size = 64 << 40
	d := &fake{size: size, content: text, only: []int64{0, size/disk.GrainSize - 1}}
	path, _ := write(t, d, qcow2.TargetOptions{Compression: qcow2.Zlib})
	tool(t, "qemu-img", "check", "-f", "qcow2", path)
	out := tool(t, "qemu-io", "-r", "-f", "qcow2", "-c", fmt.Sprintf("read -v %d 48", size-disk.GrainSize), path)
	if want := fmt.Sprintf("% x", text(size/disk.GrainSize - 1)[:16]); !strings.Contains(out, want) {
		t.Errorf("the last cluster reads as\n%s\nwant %s", out, want)
	}
}

// A zlib grain goes into the file as it is, without its frame.
func TestPassThrough(t *testing.T) {
	d := &fake{size: 4 * disk.GrainSize, content: text, enc: asZlib}
	raw := d.writeRaw(t)
	path, _ := write(t, d, qcow2.TargetOptions{Compression: qcow2.Zlib})
	oracle(t, raw, path)
	same(t, raw, path)
	file, err := os.ReadFile(path)
	check(t, err)
	l2 := binary.BigEndian.Uint64(file[64*kib:]) &^ (1 << 63)
	next := uint64(0)
	for i := range uint64(4) {
		_, z := asZlib(d.at(int64(i)))
		e := binary.BigEndian.Uint64(file[l2+8*i:])
		off, want := e&(1<<54-1), z[2:len(z)-4]
		if e>>62 != 1 || !bytes.Equal(file[off:][:len(want)], want) {
			t.Errorf("cluster %d (entry %#x) is not the grain without its frame", i, e)
		}
		if i > 0 && off != next {
			t.Errorf("cluster %d lies at %d, not back to back at %d", i, off, next)
		}
		next = off + uint64(len(want))
	}
}

// Compressed blocks of all kinds and of all fates: stored as they are, inflated
// because they are too long or too short for a cluster.
func TestCompressedSources(t *testing.T) {
	encodings := map[string]func([]byte) (disk.Encoding, []byte){"zlib": asZlib, "deflate": asDeflate, "zstd": asZstd}
	d := &fake{size: 7*mib + 512, content: alternating}
	raw := d.writeRaw(t)
	for from, enc := range encodings {
		for to, c := range compressions {
			t.Run(from+" to "+to, func(t *testing.T) {
				src := *d
				src.enc = enc
				path, want := write(t, &src, qcow2.TargetOptions{Compression: c})
				oracle(t, raw, path)
				if got := root(t, path); got != want {
					t.Errorf("root %x, want %x", got, want)
				}
			})
		}
	}
}

// A damaged grain that has to be inflated is an error of the source.
func TestEncodeDamaged(t *testing.T) {
	blocks := map[qcow2.Compression][]disk.Block{
		qcow2.Zlib: {
			disk.NewBlock(0, 512, disk.Zlib, []byte{0x78, 0x9c, 7, 0, 0, 0, 0, 0}, nil),
			disk.NewBlock(0, disk.GrainSize, disk.Zlib, []byte{0x78, 0x9c, 3}, nil),
			disk.NewBlock(0, 512, disk.Deflate, []byte{7}, nil),
		},
		qcow2.Zstd: {
			disk.NewBlock(0, 512, disk.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}, nil),
			disk.NewBlock(0, 512, disk.Zstd, nil, nil),
		},
	}
	for c, list := range blocks {
		target, err := qcow2.NewTarget(&memory{}, qcow2.TargetOptions{Size: mib, Compression: c})
		check(t, err)
		for i, b := range list {
			if err := target.Encode(&b); !fault.Is(err, fault.Corrupt) {
				t.Errorf("compression %d, block %d: %v", c, i, err)
			}
		}
	}
}

// Blocks that break the contract are refused before they are stored.
func TestPutRefused(t *testing.T) {
	target, err := qcow2.NewTarget(&memory{}, qcow2.TargetOptions{Size: mib})
	check(t, err)
	check(t, target.Put(t.Context(), disk.NewBlock(disk.GrainSize, disk.GrainSize, disk.Raw, random(0), nil)))
	for name, b := range map[string]disk.Block{
		"twice":          disk.NewBlock(disk.GrainSize, disk.GrainSize, disk.Raw, random(0), nil),
		"backwards":      disk.NewBlock(0, disk.GrainSize, disk.Raw, random(0), nil),
		"not aligned":    disk.NewBlock(3*disk.GrainSize+512, disk.GrainSize, disk.Raw, random(0), nil),
		"behind the end": disk.NewBlock(mib, disk.GrainSize, disk.Raw, random(0), nil),
		"not accepted":   disk.NewBlock(mib-disk.GrainSize, disk.GrainSize, disk.Deflate, random(0), nil),
		"too long":       disk.NewBlock(mib-disk.GrainSize, disk.GrainSize, disk.Raw, make([]byte, disk.GrainSize+1), nil),
	} {
		if err := target.Put(t.Context(), b); !fault.Is(err, fault.Internal) || fault.As(err).Code != "HX-QCOW-003" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFinishCancelled(t *testing.T) {
	obj := &memory{}
	target, err := qcow2.NewTarget(obj, qcow2.TargetOptions{Size: mib})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := target.Finish(ctx); !fault.Is(err, fault.Cancelled) || len(obj.data) > 0 {
		t.Errorf("%v, %d bytes written", err, len(obj.data))
	}
}

// Put takes what it needs from the start.
func TestPutDoesNotAllocate(t *testing.T) {
	for kind, c := range compressions {
		target, err := qcow2.NewTarget(&sparse{}, qcow2.TargetOptions{Size: 64 << 40, Compression: c})
		check(t, err)
		b := disk.NewBlock(0, disk.GrainSize, disk.Raw, text(1), nil)
		check(t, target.Encode(&b))
		enc, data, off := b.Enc, b.Data, int64(0)
		allocs := testing.AllocsPerRun(1000, func() {
			check(t, target.Put(t.Context(), disk.NewBlock(off, disk.GrainSize, enc, data, nil)))
			off += 16 * disk.GrainSize // change L2 tables, too
		})
		if allocs >= 1 {
			t.Errorf("%s: %v allocations per block", kind, allocs)
		}
	}
}

// ordered is an object that checks how it is written: ascending and in whole
// pages, except in front, and mostly in large pieces.
type ordered struct {
	memory
	t      *testing.T
	head   int64
	end    int64
	writes int
}

func (o *ordered) WriteAt(p []byte, off int64) (int, error) {
	o.writes++
	if off%4096 != 0 || len(p)%4096 != 0 {
		o.t.Errorf("a write of %d bytes at %d", len(p), off)
	}
	if o.head == 0 {
		o.head, o.end = off, off
	}
	if end := off + int64(len(p)); end > o.head {
		if off != o.end {
			o.t.Errorf("a write at %d behind %d", off, o.end)
		}
		o.end = end
	}
	return o.memory.WriteAt(p, off)
}

// Behind the end of the disk the last cluster holds zeros, not what some buffer
// held before.
func TestNothingLeaksBehindTheEnd(t *testing.T) {
	var dirty []*disk.Buffer
	for range 64 {
		buf := disk.GetBuffer()
		copy(buf.B, random(1))
		dirty = append(dirty, buf)
	}
	for _, buf := range dirty {
		buf.Release()
	}
	for kind, c := range compressions {
		for name, content := range map[string]grain{"text": text, "random": random} {
			path, _ := write(t, &fake{size: 3*mib + 512, content: content}, qcow2.TargetOptions{Compression: c})
			image, err := os.ReadFile(path)
			check(t, err)
			binary.BigEndian.PutUint64(image[24:], 3*mib+disk.GrainSize) // make it visible
			src, err := qcow2.Open(bytes.NewReader(image), int64(len(image)))
			check(t, err)
			obj := &memory{}
			_, err = disk.Copy(t.Context(), disk.NewRawTarget(obj, src.Info().Size), src, disk.CopyOptions{})
			check(t, err)
			if !disk.IsZero(obj.data[3*mib+512:]) {
				t.Errorf("%s, %s: there is something behind the end of the disk", kind, name)
			}
		}
	}
}

// What an object may rely on, marks included.
func TestWritesAscendInPages(t *testing.T) {
	for kind, c := range compressions {
		obj := &ordered{t: t}
		target, err := qcow2.NewTarget(obj, qcow2.TargetOptions{Size: 16*mib + 512, Compression: c})
		check(t, err)
		d := &fake{size: 16*mib + 512, content: alternating}
		for i := range d.grains() {
			p := d.at(i)
			if len(p) == 0 {
				continue
			}
			b := disk.NewBlock(i*disk.GrainSize, int64(len(p)), disk.Raw, p, nil)
			check(t, target.Encode(&b))
			check(t, target.Put(t.Context(), b))
			if i%100 == 11 {
				_, err := target.Mark()
				check(t, err)
			}
		}
		check(t, target.Finish(t.Context()))
		if most := len(obj.data)/mib + 2*4 + 4; obj.writes > most {
			t.Errorf("%s: %d writes for %d bytes", kind, obj.writes, len(obj.data))
		}
	}
}

// A target stays small, whatever the size of the disk.
func TestTargetMemory(t *testing.T) {
	for size, most := range map[int64]uint64{1 << 40: 2 * mib, 64 << 40: 4 * mib} {
		spent := allocated(func() {
			_, err := qcow2.NewTarget(&sparse{}, qcow2.TargetOptions{Size: size, Compression: qcow2.Zlib})
			check(t, err)
		})
		if spent > most {
			t.Errorf("%d bytes for a disk of %d", spent, size)
		}
	}
}
