package vmdk

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// noParent is the parentCID of a disk that stands alone.
const noParent = "ffffffff"

// Values of createType that this package reads.
const (
	typeStream = "streamOptimized"
	typeSparse = "monolithicSparse"
	typeFlat   = "monolithicFlat"
)

// descriptor is the text part of a VMDK, as far as it matters here.
type descriptor struct {
	createType string
	extents    []extent
}

// extent is a line such as `RW 2048 FLAT "disk-flat.vmdk" 0`. sectors is its
// length, offset where it starts in the named file, both in sectors.
type extent struct {
	kind    string
	name    string
	sectors uint64
	offset  uint64
}

// parseDescriptor reads a descriptor up to the first zero byte (qemu-img leaves
// remnants of older text behind it). It refuses (kind Unprocessable) every
// reference to a parent: such a file holds only changes.
func parseDescriptor(p []byte) (descriptor, error) {
	text, _, _ := bytes.Cut(p, []byte{0})
	var d descriptor
	seen := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := d.parseLine(line, seen); err != nil {
			return descriptor{}, err
		}
	}
	if !seen["createtype"] {
		return descriptor{}, corrupt("the descriptor has no createType")
	}
	return d, nil
}

// parseLine takes one line that is neither empty nor a comment. seen holds the
// keys so far: each may come once, so that two readers cannot differ.
func (d *descriptor) parseLine(line string, seen map[string]bool) error {
	access, rest, _ := strings.Cut(line, " ")
	if access == "RW" || access == "RDONLY" || access == "NOACCESS" {
		e, err := parseExtent(rest)
		d.extents = append(d.extents, e)
		return err
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return corrupt("the descriptor has a line that is no setting: %.40q", line)
	}
	key = strings.ToLower(strings.TrimSpace(key))
	value = strings.Trim(strings.TrimSpace(value), `"`)
	if seen[key] {
		return corrupt("the descriptor sets %.40q twice", key)
	}
	seen[key] = true
	switch key {
	case "createtype":
		d.createType = value
	case "parentcid":
		if !strings.EqualFold(value, noParent) {
			return foreign("it holds only the changes against a parent disk (parentCID %.16q)", value)
		}
	case "parentfilenamehint":
		return foreign("it names a parent disk (%.80q)", value)
	}
	return nil
}

// parseExtent reads what follows the access mode of an extent line.
func parseExtent(rest string) (extent, error) {
	bad := corrupt("the descriptor has an extent that cannot be read: %.80q", rest)
	length, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kind, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	sectors, err := strconv.ParseUint(length, 10, 64)
	if err != nil || kind == "" {
		return extent{}, bad
	}
	e := extent{kind: kind, sectors: sectors}
	if rest = strings.TrimSpace(rest); rest == "" {
		return e, nil
	}
	last := strings.LastIndexByte(rest, '"')
	if rest[0] != '"' || last == 0 {
		return extent{}, bad
	}
	e.name = rest[1:last]
	if tail := strings.TrimSpace(rest[last+1:]); tail != "" {
		if e.offset, err = strconv.ParseUint(tail, 10, 64); err != nil {
			return extent{}, bad
		}
	}
	return e, nil
}

// checkEmbedded refuses the descriptor inside a sparse file unless the file is
// its only extent.
func (d *descriptor) checkEmbedded() error {
	if d.createType != typeStream && d.createType != typeSparse {
		return unsupported("a sparse file whose createType is %.40q", d.createType)
	}
	if len(d.extents) != 1 || d.extents[0].kind != "SPARSE" {
		return foreign("the descriptor of a sparse file must have itself as the one extent")
	}
	return nil
}

// makeDescriptor writes the descriptor of a streamOptimized file: the true size
// in sectors, a content id, no names, nothing that depends on time or place.
func makeDescriptor(sectors uint64, cid uint32) string {
	const (
		heads, perTrack = 255, 63
		maxCylinders    = 65535
	)
	cylinders := min(maxCylinders, (sectors+heads*perTrack-1)/(heads*perTrack))
	var b strings.Builder
	fmt.Fprintf(&b, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%s\ncreateType=\"%s\"\n\n", cid, noParent, typeStream)
	fmt.Fprintf(&b, "# Extent description\nRDONLY %d SPARSE \"generated-stream.vmdk\"\n\n", sectors)
	fmt.Fprintf(&b, "# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n")
	fmt.Fprintf(&b, "ddb.geometry.cylinders = \"%d\"\nddb.geometry.heads = \"%d\"\nddb.geometry.sectors = \"%d\"\n", cylinders, heads, perTrack)
	fmt.Fprintf(&b, "ddb.virtualHWVersion = \"4\"\n")
	return b.String()
}
