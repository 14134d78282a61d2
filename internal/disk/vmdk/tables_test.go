package vmdk

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// progress is n markers of progress: what may stand anywhere among the grains.
func progress(n int) []byte {
	sector := marker{kind: markerProgress}.encode()
	return bytes.Repeat(sector[:], n)
}

// at returns the offset of the first marker of a kind.
func at(t *testing.T, file []byte, kind markerKind) int {
	t.Helper()
	for _, pos := range markers(file) {
		if m := parseMarker(file[pos:]); m.size == 0 && m.kind == kind {
			return pos
		}
	}
	t.Fatalf("the file has no marker %d", kind)
	return 0
}

// tablesDisk has grains of one sector in two tables; the third has none.
func tablesDisk(t *testing.T) []byte {
	t.Helper()
	p := make([]byte, 2*tableSpan+disk.GrainSize)
	for _, off := range []int{0, 5 * disk.GrainSize, 6 * disk.GrainSize, tableSpan} {
		p[off] = 1
	}
	return build(t, p)
}

// insert puts sectors into a file of Target before an offset and lets the
// footer point at the directory at, unless that is 0.
func insert(t *testing.T, file []byte, pos int, piece []byte, directory int) []byte {
	t.Helper()
	out := slices.Concat(file[:pos], piece, file[pos:])
	if directory != 0 {
		binary.LittleEndian.PutUint64(out[len(out)-2*sectorSize+56:], uint64(directory+sectorSize)/sectorSize)
	}
	return out
}

// TestTablesMustAgree lets every grain arrive, but the tables tell otherwise:
// the stream reader must not call such a file complete.
func TestTablesMustAgree(t *testing.T) {
	file := tablesDisk(t)
	table, directory, footer, end := at(t, file, markerTable), at(t, file, markerDirectory), at(t, file, markerFooter), at(t, file, markerEnd)
	entry := func(i int) int { return table + sectorSize + 4*i }
	over := func(pos int, with []byte) []byte {
		return slices.Concat(file[:pos], with, file[pos+len(with):])
	}
	swapped := bytes.Clone(file)
	copy(swapped[entry(5):entry(6)], file[entry(6):entry(7)])
	copy(swapped[entry(6):entry(7)], file[entry(5):entry(6)])
	for name, bad := range map[string][]byte{
		"entries swapped":     swapped,
		"entry moved":         over(entry(0), make([]byte, 4)),
		"entry of no grain":   over(entry(7), []byte{200, 0, 0, 0}),
		"no first table":      over(table, progress(5)),
		"no directory":        over(directory, progress(2)),
		"directory entry 0":   over(directory+sectorSize, make([]byte, 4)),
		"directory elsewhere": over(directory+sectorSize, []byte{1}),
		"directories swapped": over(directory+sectorSize, slices.Concat(file[directory+sectorSize+4:][:4], file[directory+sectorSize:][:4])),
		"no footer":           over(footer, progress(2)),
		"footer elsewhere":    patched(file, footer+sectorSize+56, uint64(directory/sectorSize)),
		"footer without end":  over(end, progress(1)),
		"no header in footer": over(footer+sectorSize, make([]byte, sectorSize)),
		"end with content":    over(end+sectorSize-1, []byte{1}),
		"end too early":       over(markers(file)[1], make([]byte, sectorSize)),
		"unknown marker":      patched(file, end+12, uint32(5)),
		"long table":          patched(file, table, uint64(5)),
		"long directory":      patched(file, directory, uint64(2)),
		"long footer":         patched(file, footer, uint64(2)),
		"second directory":    insert(t, file, footer, file[directory:footer], footer),
		"second footer":       slices.Concat(file[:end], file[footer:]),
		"table behind":        insert(t, file, footer, emptyTable(), 0),
		"grain behind":        slices.Concat(file[:footer], lateGrain(), file[footer:]),
		"too many tables":     insert(t, file, directory, slices.Concat(emptyTable(), emptyTable()), directory+10*sectorSize),
	} {
		s, err := ReadStream(bytes.NewReader(bad), StreamOptions{})
		if err == nil {
			err = drain(s.Blocks())
		}
		if !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lateGrain is a grain for the last place of tablesDisk.
func lateGrain() []byte {
	data := bomb(disk.GrainSize)
	head := marker{value: tableSpan/sectorSize + grainSectors, size: uint32(len(data))}.encodeGrain()
	grain := append(head[:], data...)
	return append(grain, make([]byte, padding(len(grain)))...)
}

// TestFrontTablesMustAgree is the same for tables in front of the grains.
func TestFrontTablesMustAgree(t *testing.T) {
	file := frontForm(tablesDisk(t))
	directory := (1 + descriptorSectors) * sectorSize
	entry := func(i int) int { return directory + sectorSize + 4*i }
	swapped := bytes.Clone(file)
	copy(swapped[entry(5):entry(6)], file[entry(6):entry(7)])
	copy(swapped[entry(6):entry(7)], file[entry(5):entry(6)])
	h, err := parseHeader((*[sectorSize]byte)(file))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"entries swapped":   swapped,
		"entry of no grain": patched(file, entry(7), uint32(200)),
		"entry missing":     patched(file, entry(0), uint32(0)),
		"directory entry 0": patched(file, directory, uint32(0)),
		"table behind":      patched(file, directory, uint32(h.overhead)),
		"table far behind":  patched(file, directory, uint32(1<<31)),
		"end with content":  patched(file, len(file)-1, uint8(1)),
		"marker of a table": slices.Concat(file[:len(file)-sectorSize], progress(1), emptyTable()),
		"grain behind":      slices.Concat(file, lateGrain()),
	} {
		s, err := ReadStream(bytes.NewReader(bad), StreamOptions{})
		if err == nil {
			err = drain(s.Blocks())
		}
		if !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// emptyTable is a table of no grain with its marker.
func emptyTable() []byte {
	head := marker{value: tableSectors, kind: markerTable}.encode()
	return append(head[:], make([]byte, tableBytes)...)
}

// TestLivelyStream: markers of progress and empty tables, as hosts may send
// them, are no content, and both readers take them.
func TestLivelyStream(t *testing.T) {
	file := tablesDisk(t)
	front := frontForm(file)
	directory := at(t, file, markerDirectory)
	for name, lively := range map[string][]byte{
		"progress":          insert(t, file, directory, progress(4), directory+4*sectorSize),
		"empty table":       insert(t, file, directory, emptyTable(), directory+5*sectorSize),
		"progress in front": slices.Concat(front[:len(front)-sectorSize], progress(1), front[len(front)-sectorSize:]),
	} {
		if stream, random := drainBoth(t, lively); stream != nil || random != nil {
			t.Errorf("%s: stream %v, random %v", name, stream, random)
		}
	}
	listed := insert(t, file, directory, emptyTable(), directory+5*sectorSize)
	binary.LittleEndian.PutUint32(listed[directory+6*sectorSize+8:], uint32(directory+sectorSize)/sectorSize)
	if stream, random := drainBoth(t, listed); stream != nil || random != nil {
		t.Errorf("empty table in the directory: stream %v, random %v", stream, random)
	}
}

// TestOutOfOrder: grains in any order are fine for the tables and refused as a
// stream, before one of them is out.
func TestOutOfOrder(t *testing.T) {
	file := tablesDisk(t)
	grain := markers(file)[1:3]
	entries := at(t, file, markerTable) + sectorSize + 4*5
	bad := bytes.Clone(file)
	copy(bad[grain[0]:], file[grain[1]:grain[1]+sectorSize])
	copy(bad[grain[1]:], file[grain[0]:grain[0]+sectorSize])
	copy(bad[entries:], file[entries+4:entries+8])
	copy(bad[entries+4:], file[entries:entries+4])
	stream, random := drainBoth(t, bad)
	if !fault.Is(stream, fault.Unprocessable) || random != nil {
		t.Errorf("stream %v, random %v", stream, random)
	}
}

// TestUnlistedGrain: a grain that no table lists is found by the tables' own
// reader, too, wherever the walk begins.
func TestUnlistedGrain(t *testing.T) {
	file := tablesDisk(t)
	table := at(t, file, markerTable)
	for name, bad := range map[string][]byte{
		"at the end": patched(file, table+sectorSize, uint32(0)),
		"in front":   patched(frontForm(file), (2+descriptorSectors)*sectorSize, uint32(0)),
	} {
		src, err := Open(bytes.NewReader(bad), int64(len(bad)), OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []int64{0, tableSpan} {
			if err := drain(src.Blocks(t.Context(), from)); !fault.Is(err, fault.Corrupt) {
				t.Errorf("%s, from %d: %v", name, from, err)
			}
		}
	}
	src, err := Open(bytes.NewReader(file), int64(len(file)), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(src.Blocks(t.Context(), tableSpan)); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// TestZeroGrains: with the flag an entry of 1 is zeros; without, a lie.
func TestZeroGrains(t *testing.T) {
	file := tablesDisk(t)
	entry := at(t, file, markerTable) + sectorSize + 4*3
	bad := patched(file, entry, uint32(1))
	if stream, random := drainBoth(t, bad); !fault.Is(stream, fault.Corrupt) || !fault.Is(random, fault.Corrupt) {
		t.Errorf("without the flag: stream %v, random %v", stream, random)
	}
	for _, pos := range []int{0, at(t, file, markerFooter) + sectorSize} {
		bad = patched(bad, pos+8, uint32(flagNewlines|flagZeroGrain|flagCompressed|flagMarkers))
	}
	if stream, random := drainBoth(t, bad); stream != nil || random != nil {
		t.Errorf("with the flag: stream %v, random %v", stream, random)
	}
}

// TestBadFooters is for access by tables: it starts at the end of the file.
func TestBadFooters(t *testing.T) {
	file := tablesDisk(t)
	directory, footer, end := at(t, file, markerDirectory), at(t, file, markerFooter), at(t, file, markerEnd)
	for name, bad := range map[string][]byte{
		"no marker":         patched(file, footer+12, uint32(markerProgress)),
		"no end":            patched(file, end+12, uint32(markerProgress)),
		"odd length":        append(bytes.Clone(file), 0),
		"other disk":        patched(file, footer+sectorSize+12, uint64(128)),
		"directory wraps":   patched(file, footer+sectorSize+56, uint64(1<<55+(directory+sectorSize)/sectorSize)),
		"directory at end":  patched(file, footer+sectorSize+56, uint64(gdAtEnd)),
		"directory beyond":  patched(file, footer+sectorSize+56, uint64(len(file)/sectorSize)),
		"no header":         patched(file, footer+sectorSize, uint32(0)),
		"nothing but a tip": file[:sectorSize],
	} {
		if _, err := Open(bytes.NewReader(bad), int64(len(bad)), OpenOptions{}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGrainBeyondTheEnd: header and footer agree on a disk that ends before its
// last grain.
func TestGrainBeyondTheEnd(t *testing.T) {
	bad := build(t, bytes.Repeat([]byte{1}, 2*disk.GrainSize))
	for _, pos := range []int{0, at(t, bad, markerFooter) + sectorSize} {
		bad = patched(bad, pos+12, uint64(grainSectors))
	}
	if stream, random := drainBoth(t, bad); !fault.Is(stream, fault.Corrupt) || !fault.Is(random, fault.Corrupt) {
		t.Errorf("stream %v, random %v", stream, random)
	}
}
