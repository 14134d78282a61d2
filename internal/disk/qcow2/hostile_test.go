package qcow2_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// tiny is an image of 64 KiB with clusters of 512 bytes that a test spoils: the
// header, an L1 table, two L2 tables of 32 KiB each, data.
type tiny struct{ p []byte }

const (
	tinyL1   = 512
	tinyL2   = 1024
	tinyData = 2048
)

func newTiny() *tiny {
	i := &tiny{make([]byte, 8<<10)}
	copy(i.p, "QFI\xfb")
	i.put32(4, 3)
	i.put32(20, 9)
	i.put64(24, 64<<10)
	i.put32(36, 2)
	i.put64(40, tinyL1)
	i.put32(96, 4)
	i.put32(100, 112)
	i.put64(tinyL1, tinyL2)
	i.put64(tinyL1+8, tinyL2+512)
	i.put64(tinyL2, tinyData)
	i.put64(tinyL2+8*63, tinyData+512)
	i.put64(tinyL2+512, tinyData+1024)
	copy(i.p[tinyData:], bytes.Repeat([]byte("data"), 1024))
	return i
}

func (i *tiny) put32(off int, v uint32) *tiny { binary.BigEndian.PutUint32(i.p[off:], v); return i }
func (i *tiny) put64(off int, v uint64) *tiny { binary.BigEndian.PutUint64(i.p[off:], v); return i }

// v64 turns it into one with clusters of 64 KiB: the L2 table comes first in
// the second cluster, the L1 table in the third.
func (i *tiny) v64(entry uint64) *tiny {
	p := make([]byte, 5<<16)
	copy(p, i.p[:112])
	copy(p[3<<16:], i.p[tinyData:])
	i.p = p
	return i.put32(20, 16).put32(36, 1).put64(40, 2<<16).put64(2<<16, 1<<16).put64(1<<16, entry)
}

// pack puts a compressed stream where the data is and returns its entry.
func (i *tiny) pack(stream []byte) *tiny {
	at := uint64(3 << 16)
	i.v64(1<<62 | uint64((len(stream)-1)/512)<<54 | at)
	i.p = append(i.p[:at], make([]byte, max(len(stream), 2<<16))...)
	copy(i.p[at:], stream)
	return i
}

func (i *tiny) zstd() *tiny {
	i.p[104] = 1
	return i.put64(72, 8)
}

func deflated(n int) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	_, _ = w.Write(make([]byte, n))
	_ = w.Close()
	return b.Bytes()
}

func zstded(n int) []byte {
	w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	return w.EncodeAll(make([]byte, n), nil)
}

// drain reads an image to the end as Copy does, up to so many bytes of disk.
func drain(ctx context.Context, p []byte, most int64) error {
	src, err := qcow2.Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		return err
	}
	defer src.Close()
	if src.Info().Size <= most {
		_, err = disk.Measure(ctx, src, nil)
		return err
	}
	for b, err := range src.Blocks(ctx, 0) {
		if err != nil {
			return err
		}
		b.Release()
		if b.Off > most {
			break
		}
	}
	return nil
}

func TestTinyIsGood(t *testing.T) {
	check(t, drain(t.Context(), newTiny().p, mib))
	check(t, drain(t.Context(), newTiny().v64(3<<16).p, mib))
	check(t, drain(t.Context(), newTiny().pack(deflated(disk.GrainSize)).p, mib))
	check(t, drain(t.Context(), newTiny().zstd().pack(zstded(disk.GrainSize)).p, mib))
	check(t, drain(t.Context(), newTiny().put64(72, 1).p, mib)) // dirty
}

// Each lie of an image ends in an error of the right kind and code, before it
// costs memory.
func TestHostileImages(t *testing.T) {
	const end = 8 << 10
	cases := map[string]struct {
		image *tiny
		code  string
	}{
		"no file":           {&tiny{}, "HX-QCOW-010"},
		"short":             {&tiny{newTiny().p[:71]}, "HX-QCOW-010"},
		"short v3":          {&tiny{newTiny().p[:100]}, "HX-QCOW-019"},
		"other format":      {&tiny{bytes.Repeat([]byte("KDMV"), 200)}, "HX-QCOW-010"},
		"version 1":         {newTiny().put32(4, 1), "HX-QCOW-011"},
		"version 4":         {newTiny().put32(4, 4), "HX-QCOW-011"},
		"backing file":      {newTiny().put64(8, 300).put32(16, 11), "HX-QCOW-012"},
		"backing, no name":  {newTiny().put64(8, 1<<60), "HX-QCOW-012"},
		"data file":         {newTiny().put64(72, 4), "HX-QCOW-013"},
		"AES":               {newTiny().put32(32, 1), "HX-QCOW-014"},
		"LUKS":              {newTiny().put32(32, 2), "HX-QCOW-014"},
		"unknown feature":   {newTiny().put64(72, 1<<5), "HX-QCOW-015"},
		"feature bit 63":    {newTiny().put64(72, 1<<63), "HX-QCOW-015"},
		"corrupt":           {newTiny().put64(72, 2), "HX-QCOW-016"},
		"extended L2":       {newTiny().put64(72, 16), "HX-QCOW-017"},
		"compression 2":     {newTiny().put64(72, 8).put32(104, 2<<24), "HX-QCOW-018"},
		"zstd, no feature":  {newTiny().put32(104, 1<<24), "HX-QCOW-019"},
		"feature, no zstd":  {newTiny().put64(72, 8), "HX-QCOW-019"},
		"header length":     {newTiny().put32(100, 8), "HX-QCOW-019"},
		"cluster bits 8":    {newTiny().put32(20, 8), "HX-QCOW-019"},
		"cluster bits 22":   {newTiny().put32(20, 22), "HX-QCOW-019"},
		"cluster bits 2^31": {newTiny().put32(20, 1<<31), "HX-QCOW-019"},
		"size odd":          {newTiny().put64(24, 1000), "HX-QCOW-019"},
		"size 2^63":         {newTiny().put64(24, 1<<63), "HX-QCOW-019"},
		"size max":          {newTiny().put64(24, 1<<64-512), "HX-QCOW-019"},
		"size bomb":         {newTiny().put64(24, 60<<40), "HX-QCOW-019"},
		"L1 bomb":           {newTiny().put64(24, 60<<40).put32(36, 1<<32-1), "HX-QCOW-019"},
		"L1 of 16 MiB":      {newTiny().put64(24, 64<<30).put32(36, 2<<20), "HX-QCOW-019"},
		"L1 too short":      {newTiny().put32(36, 1), "HX-QCOW-019"},
		"L1 none":           {newTiny().put32(36, 0), "HX-QCOW-019"},
		"L1 not aligned":    {newTiny().put64(40, tinyL1+8), "HX-QCOW-019"},
		"L1 behind the end": {newTiny().put64(40, end), "HX-QCOW-019"},
		"L1 at 2^63":        {newTiny().put64(40, 1<<63), "HX-QCOW-019"},
		"L2 not aligned":    {newTiny().put64(tinyL1, tinyL2+1), "HX-QCOW-019"},
		"L2 half aligned":   {newTiny().v64(0).put64(2<<16, 1<<16+512), "HX-QCOW-019"},
		"L2 reserved bits":  {newTiny().put64(tinyL1, tinyL2|1<<58), "HX-QCOW-019"},
		"L2 at 0":           {newTiny().put64(tinyL1, 1<<63), "HX-QCOW-019"},
		"L2 at 0 twice":     {newTiny().put64(tinyL1+8, 1<<63), "HX-QCOW-019"},
		"L2 behind the end": {newTiny().put64(tinyL1, end), "HX-QCOW-019"},
		"L2 at 2^55":        {newTiny().put64(tinyL1, 1<<55), "HX-QCOW-019"},
		"data not aligned":  {newTiny().v64(3<<16 + 512), "HX-QCOW-019"},
		"data reserved":     {newTiny().put64(tinyL2, tinyData|1<<60), "HX-QCOW-019"},
		"data reserved low": {newTiny().put64(tinyL2, tinyData|2), "HX-QCOW-019"},
		"data behind end":   {newTiny().put64(tinyL2, end), "HX-QCOW-019"},
		"data cut":          {&tiny{newTiny().v64(4 << 16).p[:5<<16-1]}, "HX-QCOW-019"},
		"data at 2^55":      {newTiny().put64(tinyL2, 1<<55), "HX-QCOW-019"},
		"zero flag in v2":   {newTiny().put32(4, 2).put64(tinyL2, 1), "HX-QCOW-019"},
		"packed behind end": {newTiny().put64(tinyL2, 1<<62|end), "HX-QCOW-019"},
		"packed far":        {newTiny().put64(tinyL2, 1<<62-1|1<<62), "HX-QCOW-019"},
		"packed garbage":    {newTiny().put64(tinyL2, 1<<62|tinyData), "HX-QCOW-021"},
		"packed at end":     {newTiny().put64(tinyL2, 1<<62|(end-1)), "HX-QCOW-021"},
		"packed too short":  {newTiny().pack(deflated(disk.GrainSize - 1)), "HX-DISK-002"},
		"packed bomb":       {newTiny().pack(deflated(mib)), "HX-DISK-002"},
		"zstd garbage":      {newTiny().zstd().v64(1<<62 | 3<<16), "HX-QCOW-021"},
		"zstd skippable":    {newTiny().zstd().pack([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd")), "HX-QCOW-021"},
		"zstd cut":          {newTiny().zstd().pack([]byte("\x28\xb5\x2f\xfd\x60\x00\xff\xfd\xff\xff")), "HX-QCOW-021"},
		"zstd bomb":         {newTiny().zstd().pack(zstded(mib)), "HX-DISK-002"},
		"zstd too short":    {newTiny().zstd().pack(zstded(disk.GrainSize - 1)), "HX-DISK-002"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var err error
			spent := allocated(func() { err = drain(t.Context(), c.image.p, mib) })
			if err == nil || fault.As(err).Code != c.code {
				t.Errorf("%v, want %s", err, c.code)
			}
			if k := fault.KindOf(err); k != fault.Corrupt && k != fault.Unprocessable {
				t.Errorf("kind %s", k)
			}
			if most := budget(len(c.image.p)); spent > most {
				t.Errorf("%d bytes allocated, %d are allowed", spent, most)
			}
		})
	}
}

// budget is how much memory an image of n bytes may cost.
func budget(n int) uint64 { return 64*mib + 4*uint64(n) }

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The last cluster of the disk needs no more of the file than the disk has of it.
func TestLastClusterCut(t *testing.T) {
	whole := newTiny().v64(3<<16).put64(24, 512).p
	check(t, drain(t.Context(), whole[:3<<16+512], mib))
	if err := drain(t.Context(), whole[:3<<16+511], mib); !fault.Is(err, fault.Corrupt) {
		t.Error(err)
	}
}

// The last sector of a compressed cluster may reach over the end of the file.
func TestLastSectorCut(t *testing.T) {
	stream := deflated(disk.GrainSize)
	p := newTiny().pack(stream).p[:3<<16+len(stream)]
	check(t, drain(t.Context(), p, mib))
	if err := drain(t.Context(), p[:len(p)-1], mib); !fault.Is(err, fault.Corrupt) {
		t.Error(err)
	}
}

// Damage anywhere in an image never gives other content without an error, unless
// it lies in the data itself, or tables that nobody reads. It never panics.
func TestRandomDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 3000 {
		i := newTiny()
		for range 1 + r.IntN(3) {
			i.p[r.IntN(tinyData)] ^= 1 << r.IntN(8)
		}
		_ = drain(t.Context(), i.p, mib)
	}
}

// broken is storage that fails behind the first bytes.
type broken struct {
	io.ReaderAt
	good int64
}

var errStorage = errors.New("storage")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.good {
		return 0, errStorage
	}
	return b.ReaderAt.ReadAt(p, off)
}

// Storage that fails or a file that shrinks is not damage: a retry may help.
func TestStorageFails(t *testing.T) {
	p := newTiny().p
	for good := range int64(len(p)) {
		if good%512 != 0 {
			continue
		}
		src, err := qcow2.Open(broken{bytes.NewReader(p), good}, int64(len(p)))
		if err == nil {
			_, err = disk.Measure(t.Context(), src, nil)
		}
		if !fault.Is(err, fault.Unavailable) || !errors.Is(err, errStorage) {
			t.Errorf("good up to %d: %v", good, err)
		}
	}
	src, err := qcow2.Open(bytes.NewReader(p[:tinyL2]), int64(len(p)))
	check(t, err)
	if _, err := disk.Measure(t.Context(), src, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestSourceCancelled(t *testing.T) {
	p := newTiny().p
	src, err := qcow2.Open(bytes.NewReader(p), int64(len(p)))
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range src.Blocks(ctx, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// No image makes the reader panic or take memory out of proportion, and what it
// yields keeps the contract, which Copy checks.
func FuzzOpen(f *testing.F) {
	f.Add(newTiny().p)
	f.Add(newTiny().put32(4, 2).p)
	f.Add(newTiny().zstd().put64(tinyL2, 1<<62|tinyData).p)
	f.Add(newTiny().put64(tinyL2, 1<<62|tinyData).p)
	f.Add(newTiny().put32(20, 10).p)
	f.Fuzz(func(t *testing.T, p []byte) {
		spent := allocated(func() {
			if err := drain(t.Context(), p, mib); err != nil && fault.KindOf(err) == fault.Internal {
				t.Errorf("an error without a kind: %v", err)
			}
		})
		if most := budget(len(p)); spent > most {
			t.Errorf("%d bytes allocated, %d are allowed", spent, most)
		}
	})
}
