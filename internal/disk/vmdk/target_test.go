package vmdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestTargetOptions(t *testing.T) {
	for _, o := range []TargetOptions{
		{Size: 0}, {Size: -512}, {Size: 511}, {Size: 64<<40 + 512}, {Size: 512, Level: 10}, {Size: 512, Level: -1},
	} {
		if _, err := NewTarget(discardObject{}, o); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := NewTarget(discardObject{}, TargetOptions{Size: 64 << 40, Level: 9}); err != nil {
		t.Error(err)
	}
}

func TestLevels(t *testing.T) {
	p := []byte(strings.Repeat("some words that come again and again, ", 4<<20/38))
	p = p[:len(p)/512*512]
	var length [2]int
	for i, level := range []int{1, 9} {
		var obj memObject
		target, err := NewTarget(&obj, TargetOptions{Size: int64(len(p)), Level: level})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Copy(t.Context(), target, rawSource(p), disk.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := readRandom(t.Context(), obj.data); err != nil || !bytes.Equal(got, p) {
			t.Errorf("level %d: %v", level, err)
		}
		length[i] = len(obj.data)
	}
	if length[1] > length[0] {
		t.Errorf("level 9 makes %d bytes, level 1 %d", length[1], length[0])
	}
}

func TestPutRefuses(t *testing.T) {
	for name, b := range map[string]disk.Block{
		"raw":        disk.NewBlock(1<<20, disk.GrainSize, disk.Raw, make([]byte, disk.GrainSize), nil),
		"again":      disk.NewBlock(0, disk.GrainSize, disk.Zlib, []byte{1}, nil),
		"unaligned":  disk.NewBlock(1<<20+512, disk.GrainSize, disk.Zlib, []byte{1}, nil),
		"beyond":     disk.NewBlock(resumeSize, disk.GrainSize, disk.Zlib, []byte{1}, nil),
		"negative":   disk.NewBlock(-disk.GrainSize, disk.GrainSize, disk.Zlib, []byte{1}, nil),
		"empty data": disk.NewBlock(1<<20, disk.GrainSize, disk.Zlib, nil, nil),
	} {
		target := newTarget(t, discardObject{})
		put(t, target, []disk.Block{disk.NewBlock(0, disk.GrainSize, disk.Zlib, []byte{1}, nil)})
		if target.Put(t.Context(), b) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestEncodeDamaged: a damaged zlib block that has to be opened is refused.
func TestEncodeDamaged(t *testing.T) {
	target := newTarget(t, discardObject{})
	b := disk.NewBlock(0, 512, disk.Zlib, []byte("no zlib"), nil)
	if err := target.Encode(&b); !fault.Is(err, fault.Corrupt) {
		t.Errorf("%v", err)
	}
}

// TestShortGrain: the last grain of an odd disk is written whole, with zeros.
func TestShortGrain(t *testing.T) {
	want := make([]byte, disk.GrainSize)
	want[0], want[511] = 1, 2
	for _, b := range []disk.Block{
		disk.NewBlock(0, 512, disk.Raw, want[:512], nil),
		disk.NewBlock(0, 512, disk.Zlib, deflated(want[:512]), nil),
	} {
		dirty := disk.GetBuffer()
		noise(rand.New(rand.NewPCG(1, 1)), dirty.B)
		dirty.Release()
		if err := newTarget(t, discardObject{}).Encode(&b); err != nil {
			t.Fatal(err)
		}
		b.Len = disk.GrainSize
		got, err := inflated(disk.GrainSize, func(yield func(disk.Block, error) bool) { yield(b, nil) })
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("from encoding %d: %v", b.Enc, err)
		}
	}
}

func TestSumAndEmptyDisk(t *testing.T) {
	for _, size := range []int64{512, tableSpan, 1 << 40} {
		var obj memObject
		target, err := NewTarget(&obj, TargetOptions{Size: size})
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if sum, n := target.Sum(); sum != sha256.Sum256(obj.data) || n != int64(len(obj.data)) {
			t.Error("Sum does not tell of the file")
		}
		if stream, random := drainBoth(t, obj.data); stream != nil || random != nil {
			t.Errorf("size %d: stream %v, random %v", size, stream, random)
		}
		if !bytes.Contains(obj.data, []byte("CID=fffffffe\nparentCID=ffffffff\n")) {
			t.Error("the descriptor has no content id")
		}
	}
}

// TestLeftovers: bytes that an earlier attempt left in the object do not stay.
func TestLeftovers(t *testing.T) {
	p := content(1<<20, 41)
	obj := memObject{data: bytes.Repeat([]byte{1}, 4<<20)}
	target, err := NewTarget(&obj, TargetOptions{Size: 1 << 20, CID: 0x12345678})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Copy(t.Context(), target, rawSource(p), disk.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(obj.data, build(t, p)) {
		t.Error("another file")
	}
}

func TestWriteErrors(t *testing.T) {
	p := content(8<<20, 42)
	for _, fail := range []int{1, 1 << 20, len(build(t, p)) - 1} {
		target, err := NewTarget(&memObject{fail: fail}, TargetOptions{Size: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Copy(t.Context(), target, rawSource(p), disk.CopyOptions{}); !errors.Is(err, errDisk) {
			t.Errorf("at %d: %v", fail, err)
		}
	}
}

// TestServe sends a disk over a pipe, as a simulated host does, and reads it on
// the other side.
func TestServe(t *testing.T) {
	p := content(5<<20+512, 43)
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := serve(t.Context(), w, p)
		sent <- err
		_ = w.CloseWithError(err)
	}()
	s, err := ReadStream(r, StreamOptions{Size: int64(len(p))})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inflated(s.Size(), s.Blocks()); err != nil || !bytes.Equal(got, p) {
		t.Errorf("received something else: %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func serve(ctx context.Context, w io.Writer, p []byte) error {
	target, err := NewTarget(WriterObject(w), TargetOptions{Size: int64(len(p))})
	if err != nil {
		return err
	}
	_, err = disk.Copy(ctx, target, rawSource(p), disk.CopyOptions{})
	return err
}

func TestServeStops(t *testing.T) {
	p := content(5<<20, 44)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve(ctx, io.Discard, p); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(errDisk)
	if err := serve(t.Context(), w, p); !errors.Is(err, errDisk) {
		t.Errorf("after the client left: %v", err)
	}
}

// TestReadersStop: breaking out of the loop and a cancelled context end both.
func TestReadersStop(t *testing.T) {
	file := build(t, content(2<<20, 45))
	s, err := ReadStream(bytes.NewReader(file), StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := int64(-1)
	for b := range s.Blocks() {
		first = b.Off
		b.Release()
		break
	}
	for b, err := range s.Blocks() { // goes on behind it
		if err != nil || b.Off <= first {
			t.Errorf("offset %d after %d: %v", b.Off, first, err)
		}
		b.Release()
	}
	src, err := Open(bytes.NewReader(file), int64(len(file)), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for b := range src.Blocks(t.Context(), 0) {
		b.Release()
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := drain(src.Blocks(ctx, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}
