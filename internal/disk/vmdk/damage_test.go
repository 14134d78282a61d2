package vmdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	govmomi "github.com/vmware/govmomi/vmdk"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// forms returns the same disk as Target, qemu-img and open-vmdk write it.
func forms(t *testing.T, p []byte) map[string][]byte {
	t.Helper()
	ours := build(t, p)
	qemu, err := os.ReadFile(qemuVMDK(t, writeFile(t, "disk.raw", p), "subformat=streamOptimized"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"ours": ours, "qemu": qemu, "open-vmdk": frontForm(ours)}
}

// frontForm moves directory and tables of a file of Target to the front and
// leaves out the footer, as open-vmdk does.
func frontForm(file []byte) []byte {
	h, _ := parseHeader((*[sectorSize]byte)(file))
	tables := h.directoryEntries()
	h.gdOffset = 1 + descriptorSectors
	h.overhead = h.gdOffset + h.directorySectors() + tables*tableSectors
	var directory, entries []uint32
	for i := range tables {
		directory = append(directory, uint32(h.gdOffset+h.directorySectors()+i*tableSectors))
	}
	entries = make([]uint32, tables*tableEntries)
	var grains []byte
	for _, at := range markers(file) {
		m := parseMarker(file[at:])
		if m.size == 0 {
			continue
		}
		entries[m.value/grainSectors] = uint32(h.overhead) + uint32(len(grains)/sectorSize)
		grains = append(grains, file[at:][:grainSpan(m.size)]...)
	}
	head := h.encode()
	out := append(head[:], file[sectorSize:(1+descriptorSectors)*sectorSize]...)
	out = appendTable(out, directory)
	out = append(out, make([]byte, padding(len(out)))...)
	out = appendTable(out, entries)
	out = append(out, grains...)
	return append(out, make([]byte, sectorSize)...)
}

// markers returns where the markers of a file are, up to the end of stream.
func markers(file []byte) (at []int) {
	pos := int(binary.LittleEndian.Uint64(file[64:])) * sectorSize
	for pos < len(file) {
		at = append(at, pos)
		m := parseMarker(file[pos:])
		switch {
		case m.size != 0:
			pos += int(grainSpan(m.size))
		case m.kind == markerEnd:
			return at
		default:
			pos += int(1+m.value) * sectorSize
		}
	}
	return at
}

func drain(blocks iter.Seq2[disk.Block, error]) error {
	for b, err := range blocks {
		if err != nil {
			return err
		}
		b.Release()
	}
	return nil
}

// drainBoth reads a file in both ways without looking at the content.
func drainBoth(t *testing.T, file []byte) (stream, random error) {
	t.Helper()
	s, stream := ReadStream(bytes.NewReader(file), StreamOptions{})
	if stream == nil {
		stream = drain(s.Blocks())
	}
	src, random := Open(bytes.NewReader(file), int64(len(file)), OpenOptions{})
	if random == nil {
		random = drain(src.Blocks(t.Context(), 0))
	}
	return stream, random
}

func TestTruncation(t *testing.T) {
	for name, file := range forms(t, content(40<<20+512, 11)) {
		t.Run(name, func(t *testing.T) {
			if a, b := drainBoth(t, file); a != nil || b != nil {
				t.Fatal(a, b)
			}
			at := markers(file)
			complete := len(file) // from here on nothing is lost
			if name != "ours" {
				for _, pos := range at {
					if n := parseMarker(file[pos:]).size; n != 0 {
						complete = pos + int(grainSpan(n))
					}
				}
			}
			cuts := []int{0, 1, 100, 511, 512, 513, len(file) - 1, len(file) - 512}
			for _, pos := range at {
				cuts = append(cuts, pos-512, pos-1, pos, pos+1, pos+12, pos+16, pos+512)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 300 {
				cuts = append(cuts, r.IntN(len(file)))
			}
			for _, cut := range cuts {
				if cut >= complete {
					continue
				}
				stream, random := drainBoth(t, file[:cut])
				if stream == nil || random == nil {
					t.Errorf("%d of %d bytes: stream %v, random %v", cut, len(file), stream, random)
				}
				if !fault.Is(stream, fault.Corrupt) || fault.As(stream).Code != CodeTruncated {
					t.Errorf("%d of %d bytes: the stream says %v", cut, len(file), stream)
				}
			}
		})
	}
}

func TestNothingMayFollow(t *testing.T) {
	for name, file := range forms(t, content(1<<20, 12)) {
		for what, tail := range map[string][]byte{
			"byte": {1}, "text": bytes.Repeat([]byte("x"), 512), "again": file, "zeros": make([]byte, 65<<10),
		} {
			if stream, random := drainBoth(t, slices.Concat(file, tail)); stream == nil || what != "zeros" && random == nil {
				t.Errorf("%s + %s: stream %v, random %v", name, what, stream, random)
			}
		}
	}
}

// TestFlippedBits changes single bits where it matters and wants an error or
// the true content, never another one.
func TestFlippedBits(t *testing.T) {
	p := content(4*disk.GrainSize+512, 13)
	for name, file := range forms(t, p) {
		t.Run(name, func(t *testing.T) {
			found := 0
			for _, at := range flips(file) {
				bad := bytes.Clone(file)
				bad[at/8] ^= 1 << (at % 8)
				if got, err := readStream(bad, int64(len(p))); err != nil {
					found++
				} else if !bytes.Equal(got, p) {
					t.Errorf("stream: bit %d of byte %d changes the content unseen", at%8, at/8)
				}
				got, err := readRandom(t.Context(), bad)
				if err == nil && len(got) == len(p) && !bytes.Equal(got, p) {
					t.Errorf("random: bit %d of byte %d changes the content unseen", at%8, at/8)
				}
			}
			if found == 0 {
				t.Error("no flip was found")
			}
		})
	}
}

// flips are bits of the header, the markers, the tables, and some of the rest.
func flips(file []byte) (bits []int) {
	add := func(from, n int) {
		for i := from; i < min(from+n, len(file)); i++ {
			bits = append(bits, 8*i+i%8)
		}
	}
	add(0, 80)
	for _, at := range markers(file) {
		add(at, markerSize)
		if parseMarker(file[at:]).size == 0 {
			add(at+sectorSize, 28)
		}
	}
	add((1+descriptorSectors)*sectorSize, 80)
	add((2+descriptorSectors)*sectorSize, 80) // the front tables
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		bits = append(bits, r.IntN(8*len(file)))
	}
	return bits
}

// TestGovmomiWriter gives both readers the files of a well-known writer whose
// tables have 64-bit entries and whose grains are not padded.
func TestGovmomiWriter(t *testing.T) {
	for _, size := range []int{64 << 10, 1 << 20, 40 << 20} {
		path := filepath.Join(t.TempDir(), "disk.vmdk")
		w, err := govmomi.NewStreamOptimizedWriter(path, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(bytes.NewReader(content(size, 14))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if stream, random := drainBoth(t, file); stream == nil || random == nil {
			t.Errorf("size %d: stream %v, random %v", size, stream, random)
		}
		area := file[sectorSize : (1+descriptorSectors)*sectorSize] // its type is wrong, too
		clear(area)
		copy(area, makeDescriptor(uint64(size)/sectorSize, 1))
		stream, random := drainBoth(t, file)
		if !fault.Is(stream, fault.Corrupt) || !fault.Is(random, fault.Corrupt) {
			t.Errorf("size %d: stream %v, random %v", size, stream, random)
		}
	}
}

// failing ends a reader with an error.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

// TestReaderErrors: the kind of an error below stays, even if io.EOF caused it.
func TestReaderErrors(t *testing.T) {
	file := build(t, content(1<<20, 15))
	lost := fault.Wrap(fmt.Errorf("connection: %w", io.EOF), fault.Unavailable, "HX-NET-001", "connection lost", "")
	for _, cut := range []int{0, 100, 1000, 66000, markers(file)[3], len(file) - 512, len(file)} {
		for _, c := range []struct {
			err  error
			want fault.Kind
		}{{lost, fault.Unavailable}, {errDisk, fault.Unavailable}, {io.ErrUnexpectedEOF, fault.Corrupt}} {
			s, err := ReadStream(failing{bytes.NewReader(file[:cut]), c.err}, StreamOptions{})
			if err == nil {
				err = drain(s.Blocks())
			}
			if !fault.Is(err, c.want) {
				t.Errorf("cut at %d by %v: %v", cut, c.err, err)
			}
		}
	}
}
