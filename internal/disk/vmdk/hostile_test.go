package vmdk

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxAlloc is what a reader may allocate in all beside 4 times its input.
const maxAlloc = 64 << 20

// bounded runs f and fails if it allocated more than the input allows.
func bounded(t *testing.T, input int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > maxAlloc+4*uint64(input) {
		t.Errorf("%d bytes allocated for an input of %d", got, input)
	}
}

func patched(file []byte, at int, value any) []byte {
	bad := bytes.Clone(file)
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, value)
	copy(bad[at:], b.Bytes())
	return bad
}

func TestCraftedHeaders(t *testing.T) {
	file := build(t, content(1<<20, 21))
	for name, c := range map[string]struct {
		at    int
		value any
		want  fault.Kind
	}{
		"magic":                {0, uint32(0x564d444c), fault.Corrupt},
		"version 0":            {4, uint32(0), fault.Unprocessable},
		"version 4":            {4, uint32(4), fault.Unprocessable},
		"unknown flag":         {8, uint32(1 | 7<<16), fault.Unprocessable},
		"no markers":           {8, uint32(1 | 1<<16), fault.Unprocessable},
		"capacity 0":           {12, uint64(0), fault.Unprocessable},
		"capacity 2^63":        {12, uint64(1 << 63), fault.Corrupt},
		"capacity 2^64-1":      {12, uint64(math.MaxUint64), fault.Corrupt},
		"capacity 64 TiB":      {12, uint64(maxSize / sectorSize), fault.Corrupt},
		"grain 0":              {20, uint64(0), fault.Corrupt},
		"grain 127":            {20, uint64(127), fault.Corrupt},
		"grain 64":             {20, uint64(64), fault.Unprocessable},
		"grain 2^40":           {20, uint64(1 << 40), fault.Unprocessable},
		"descriptor offset":    {28, uint64(1 << 63), fault.Corrupt},
		"descriptor size":      {36, uint64(math.MaxUint64), fault.Corrupt},
		"descriptor too long":  {36, uint64(129), fault.Corrupt},
		"tables of 0":          {44, uint32(0), fault.Unprocessable},
		"tables of 2^31":       {44, uint32(1 << 31), fault.Unprocessable},
		"directory beyond end": {56, uint64(1 << 40), fault.Corrupt},
		"directory 2^63":       {56, uint64(1 << 63), fault.Corrupt},
		"directory at 0":       {56, uint64(0), fault.Corrupt},
		"overhead 0":           {64, uint64(0), fault.Corrupt},
		"overhead 2^60":        {64, uint64(1 << 60), fault.Corrupt},
		"text mode":            {73, uint32(0x0d0a0d0a), fault.Corrupt},
		"compression 2":        {77, uint16(2), fault.Unprocessable},
		"no compression":       {77, uint16(0), fault.Unprocessable},
	} {
		t.Run(name, func(t *testing.T) {
			bad := patched(file, c.at, c.value)
			bounded(t, len(bad), func() {
				stream, random := drainBoth(t, bad)
				if stream == nil || random == nil {
					t.Errorf("accepted: stream %v, random %v", stream, random)
				}
				if name != "directory at 0" && (!fault.Is(stream, c.want) || !fault.Is(random, c.want)) {
					t.Errorf("stream %v, random %v", stream, random)
				}
			})
		})
	}
}

func TestCraftedGrains(t *testing.T) {
	file := build(t, content(4<<20, 22))
	at := markers(file)
	for name, bad := range map[string][]byte{
		"unaligned":        patched(file, at[1], uint64(1)),
		"beyond the end":   patched(file, at[1], uint64(4<<20/sectorSize)),
		"2^64-128":         patched(file, at[1], uint64(math.MaxUint64-127)),
		"same twice":       patched(file, at[1], binary.LittleEndian.Uint64(file[at[0]:])),
		"huge":             patched(file, at[1]+8, uint32(math.MaxUint32)),
		"one buffer and 1": patched(file, at[1]+8, uint32(disk.BufferSize+1)),
		"no data":          patched(file, at[1]+8, uint32(0)),
	} {
		bounded(t, len(bad), func() {
			if stream, random := drainBoth(t, bad); stream == nil || random == nil {
				t.Errorf("%s: stream %v, random %v", name, stream, random)
			}
		})
	}
}

// bomb is a zlib stream of n zeros.
func bomb(n int) []byte { return deflated(make([]byte, n)) }

// deflated is p as the standard library compresses it.
func deflated(p []byte) []byte {
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, 9)
	_, _ = z.Write(p)
	_ = z.Close()
	return b.Bytes()
}

// TestLastGrain: a short last grain inflates to what the disk has or to a whole
// grain, and to nothing else.
func TestLastGrain(t *testing.T) {
	for n, ok := range map[int]bool{512: true, disk.GrainSize: true, 0: false, 511: false, 1024: false, disk.GrainSize + 1: false, 1 << 20: false} {
		var obj memObject
		target, err := NewTarget(&obj, TargetOptions{Size: disk.GrainSize + 512})
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Put(t.Context(), disk.NewBlock(disk.GrainSize, 512, disk.Zlib, bomb(n), nil)); err != nil {
			t.Fatal(err)
		}
		if err := target.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		bounded(t, len(obj.data), func() {
			stream, random := drainBoth(t, obj.data)
			if (stream == nil) != ok || (random == nil) != ok {
				t.Errorf("%d bytes: stream %v, random %v", n, stream, random)
			}
		})
	}
}

// plainSparse makes a monolithicSparse file whose one table, shared by the
// whole directory, points at one grain.
func plainSparse(size int64) []byte {
	h := header{version: 1, flags: flagNewlines, capacity: uint64(size) / sectorSize, descOffset: 1, descSize: 1, gdOffset: 2}
	h.overhead = h.gdOffset + h.directorySectors() + tableSectors
	head := h.encode()
	binary.LittleEndian.PutUint16(head[77:], compressNone)
	out := append(head[:], make([]byte, (h.overhead-1)*sectorSize)...)
	copy(out[sectorSize:], "createType=\"monolithicSparse\"\nRW 1 SPARSE \"x\"\n")
	table := h.overhead - tableSectors
	for i := range h.directoryEntries() {
		binary.LittleEndian.PutUint32(out[2*sectorSize+4*i:], uint32(table))
	}
	for i := range min(tableEntries, size/disk.GrainSize) {
		binary.LittleEndian.PutUint32(out[int64(table)*sectorSize+4*i:], uint32(h.overhead))
	}
	return append(out, bytes.Repeat([]byte{7}, disk.GrainSize)...)
}

// TestSharedTables: 76 KiB must not pass for a disk full of data.
func TestSharedTables(t *testing.T) {
	for _, size := range []int64{1 << 20, 1 << 30, maxSize} {
		file := plainSparse(size)
		bounded(t, len(file), func() {
			if _, random := drainBoth(t, file); !fault.Is(random, fault.Corrupt) {
				t.Errorf("%d bytes of disk: %v", size, random)
			}
		})
	}
	if _, err := readRandom(t.Context(), plainSparse(disk.GrainSize)); err != nil {
		t.Errorf("the control: %v", err)
	}
}

const flatText = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2 FLAT \"x-flat.vmdk\" 0\n"

func TestDescriptors(t *testing.T) {
	for name, c := range map[string]struct {
		old, text string
		want      fault.Kind
	}{
		"parent":            {"ffffffff", "12345678", fault.Unprocessable},
		"parent hint":       {"CID=1", "ParentFileNameHint=\"base.vmdk\"", fault.Unprocessable},
		"path":              {"x-flat.vmdk", "/etc/passwd", fault.Unprocessable},
		"up":                {"x-flat.vmdk", "../other.vmdk", fault.Unprocessable},
		"directory":         {"x-flat.vmdk", "..", fault.Unprocessable},
		"backslash":         {"x-flat.vmdk", `a\b`, fault.Unprocessable},
		"drive or protocol": {"x-flat.vmdk", "nbd:x", fault.Unprocessable},
		"no name":           {"x-flat.vmdk", "", fault.Unprocessable},
		"long name":         {"x-flat.vmdk", strings.Repeat("x", 256), fault.Unprocessable},
		"two extents":       {"RW", "RW 2 FLAT \"y\" 0\nRW", fault.Unprocessable},
		"no extent":         {"RW 2", "#", fault.Unprocessable},
		"offset":            {"\" 0", "\" 1", fault.Unprocessable},
		"capacity":          {"RW 2", "RW 36028797018963968", fault.Corrupt},
		"zero capacity":     {"RW 2", "RW 0", fault.Corrupt},
		"number":            {"RW 2", "RW -2", fault.Corrupt},
		"larger than file":  {"RW 2", "RW 3", fault.Corrupt},
		"sparse extent":     {"FLAT", "SPARSE", fault.Unprocessable},
		"vmfs":              {"monolithicFlat", "vmfs", fault.Unprocessable},
		"raw device":        {"monolithicFlat", "fullDevice", fault.Unprocessable},
		"split":             {"monolithicFlat", "twoGbMaxExtentFlat", fault.Unprocessable},
		"type twice":        {"CID=1", "createType=\"vmfs\"", fault.Corrupt},
		"no type":           {"createType", "type", fault.Corrupt},
		"cut by zero":       {"createType", "\x00createType", fault.Corrupt},
		"no setting":        {"CID=1", "hello", fault.Corrupt},
		"too long":          {"CID=1", strings.Repeat("#", maxDescriptor), fault.Corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(flatText, c.old, c.text, 1)
			_, err := Open(strings.NewReader(text), int64(len(text)), OpenOptions{OpenExtent: func(string) (io.ReaderAt, int64, error) {
				if name != "larger than file" {
					t.Error("the descriptor made us open a file")
				}
				return strings.NewReader(strings.Repeat("a", 1024)), 1024, nil
			}})
			if !fault.Is(err, c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFlatNeedsConsent(t *testing.T) {
	_, err := Open(strings.NewReader(flatText), int64(len(flatText)), OpenOptions{})
	if !fault.Is(err, fault.Unprocessable) {
		t.Errorf("without OpenExtent: %v", err)
	}
	denied := fault.New(fault.Denied, "HX-TEST-001", "no", "")
	_, err = Open(strings.NewReader(flatText), int64(len(flatText)), OpenOptions{
		OpenExtent: func(string) (io.ReaderAt, int64, error) { return nil, 0, denied },
	})
	if !fault.Is(err, fault.Denied) {
		t.Errorf("a refusal is lost: %v", err)
	}
}

// TestEmbeddedDescriptors puts descriptors into a sparse file.
func TestEmbeddedDescriptors(t *testing.T) {
	file := build(t, content(1<<20, 23))
	for name, text := range map[string]string{
		"parent":      "parentCID=1\ncreateType=\"streamOptimized\"\nRW 2048 SPARSE \"x\"\n",
		"parent hint": "parentFileNameHint=\"/base.vmdk\"\ncreateType=\"streamOptimized\"\nRW 2048 SPARSE \"x\"\n",
		"flat":        "createType=\"monolithicFlat\"\nRW 2048 FLAT \"/etc/passwd\" 0\n",
		"flat extent": "createType=\"streamOptimized\"\nRW 2048 FLAT \"/etc/passwd\" 0\n",
		"two extents": "createType=\"streamOptimized\"\nRW 1 SPARSE \"x\"\nRW 1 SPARSE \"y\"\n",
		"split":       "createType=\"twoGbMaxExtentSparse\"\nRW 1 SPARSE \"x\"\n",
		"noise":       "\xff\xfe\x01",
	} {
		bad := bytes.Clone(file)
		area := bad[sectorSize : (1+descriptorSectors)*sectorSize]
		clear(area)
		copy(area, text)
		stream, random := drainBoth(t, bad)
		if stream == nil || random == nil {
			t.Errorf("%s: stream %v, random %v", name, stream, random)
		}
	}
}

func TestExpectedSize(t *testing.T) {
	_, err := ReadStream(bytes.NewReader(build(t, content(1<<20, 24))), StreamOptions{Size: 1<<20 + 512})
	if !fault.Is(err, fault.Corrupt) {
		t.Errorf("%v", err)
	}
}
