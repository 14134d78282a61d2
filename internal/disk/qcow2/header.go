package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	magic      = "QFI\xfb"
	headerSize = 112 // version 3, up to and with the compression type

	headerSizeV2  = 72
	headerSizeMin = 104 // of version 3

	minClusterBits = 9
	maxClusterBits = 21
	maxTable1      = 32 << 20 // bytes of L1, QEMU's own limit
)

// Incompatible feature bits.
const (
	featureDirty = 1 << iota // refcounts may be stale: of no matter to a reader
	featureCorrupt
	featureDataFile
	featureCompression
	featureExtendedL2
)

const compressionZstd = 1

// header holds the fields of the file header that matter for the content
// (section "Header"). Offsets and sizes are in bytes.
type header struct {
	version        uint32
	backingOffset  uint64
	clusterBits    uint32
	size           uint64
	crypt          uint32
	table1Entries  uint32
	table1Offset   uint64
	refTableOffset uint64
	refClusters    uint32
	incompatible   uint64
	length         uint32
	compression    uint8
}

// marshal returns a version 3 header without extensions.
func (h *header) marshal() []byte {
	const refcountOrder = 4 // 1<<4 bits
	p := make([]byte, headerSize)
	copy(p, magic)
	be := binary.BigEndian
	be.PutUint32(p[4:], 3)
	be.PutUint32(p[20:], h.clusterBits)
	be.PutUint64(p[24:], h.size)
	be.PutUint32(p[36:], h.table1Entries)
	be.PutUint64(p[40:], h.table1Offset)
	be.PutUint64(p[48:], h.refTableOffset)
	be.PutUint32(p[56:], h.refClusters)
	be.PutUint64(p[72:], h.incompatible)
	be.PutUint32(p[96:], refcountOrder)
	be.PutUint32(p[100:], headerSize)
	p[104] = h.compression
	return p
}

// parseHeader reads the start of a file, up to headerSize bytes of it, and
// refuses what cannot be read safely or at all. The error is of kind
// Unprocessable, or Corrupt for a header that contradicts itself.
func parseHeader(p []byte) (*header, error) {
	if len(p) < headerSizeV2 || string(p[:4]) != magic {
		return nil, fault.New(fault.Unprocessable, "HX-QCOW-010", "the file is not a qcow2 image", "check the format that was given for it")
	}
	be := binary.BigEndian
	h := &header{
		version:       be.Uint32(p[4:]),
		backingOffset: be.Uint64(p[8:]),
		clusterBits:   be.Uint32(p[20:]),
		size:          be.Uint64(p[24:]),
		crypt:         be.Uint32(p[32:]),
		table1Entries: be.Uint32(p[36:]),
		table1Offset:  be.Uint64(p[40:]),
		length:        headerSizeV2,
	}
	switch h.version {
	case 2:
	case 3:
		if err := h.parseV3(p); err != nil {
			return nil, err
		}
	default:
		return nil, fault.Newf(fault.Unprocessable, "HX-QCOW-011", "convert it with qemu-img convert -O qcow2",
			"the qcow2 image has version %d; only 2 and 3 can be read", h.version)
	}
	if err := h.refuse(); err != nil {
		return nil, err
	}
	return h, h.check()
}

func (h *header) parseV3(p []byte) error {
	if len(p) < headerSizeMin {
		return damaged("its header is cut short")
	}
	be := binary.BigEndian
	h.incompatible = be.Uint64(p[72:])
	h.length = be.Uint32(p[100:])
	if h.length < headerSizeMin {
		return damaged(fmt.Sprintf("its header gives its own length as %d bytes", h.length))
	}
	if h.length > headerSizeMin && len(p) > headerSizeMin {
		h.compression = p[headerSizeMin]
	}
	return nil
}

// refuse finds what is legal but cannot or must not be read: above all, other
// files that the image names are never opened.
func (h *header) refuse() error {
	const known = featureDirty | featureCorrupt | featureDataFile | featureCompression | featureExtendedL2
	no := func(code, what, fix string) error { return fault.New(fault.Unprocessable, code, what, fix) }
	const flatten = "flatten it with qemu-img convert -f qcow2 -O qcow2 where its other files are trusted"
	switch {
	case h.incompatible&^uint64(known) != 0:
		return fault.Newf(fault.Unprocessable, "HX-QCOW-015", flatten,
			"the qcow2 image uses features that are not known here (incompatible bits %#x)", h.incompatible&^uint64(known))
	case h.incompatible&featureCorrupt != 0:
		return fault.New(fault.Corrupt, "HX-QCOW-016", "the qcow2 image is marked as corrupt", "repair it with qemu-img check -r all")
	case h.incompatible&featureDataFile != 0:
		return no("HX-QCOW-013", "the qcow2 image keeps its data in an external file", flatten)
	case h.backingOffset != 0:
		return no("HX-QCOW-012", "the qcow2 image has a backing file", flatten)
	case h.crypt != 0:
		return no("HX-QCOW-014", "the qcow2 image is encrypted", "decrypt it with qemu-img convert first")
	case h.incompatible&featureExtendedL2 != 0:
		return no("HX-QCOW-017", "the qcow2 image has extended L2 entries", "convert it with qemu-img convert -O qcow2 -o extended_l2=off")
	case h.compression > compressionZstd:
		return no("HX-QCOW-018", fmt.Sprintf("the qcow2 image has the unknown compression type %d", h.compression), flatten)
	}
	return nil
}

// check finds fields that contradict each other.
func (h *header) check() error {
	switch {
	case h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits:
		return damaged(fmt.Sprintf("its clusters have 2^%d bytes", h.clusterBits))
	case (h.incompatible&featureCompression != 0) != (h.compression != 0):
		return damaged("its compression type contradicts its features")
	case h.size%sectorSize != 0:
		return damaged(fmt.Sprintf("its virtual size, %d, is not a multiple of %d bytes", h.size, sectorSize))
	case h.table1Offset%(1<<h.clusterBits) != 0:
		return damaged("its L1 table is not aligned")
	case h.needTable1() > uint64(h.table1Entries) || h.needTable1() > maxTable1/entrySize:
		return damaged(fmt.Sprintf("its L1 table of %d entries does not fit its virtual size, %d", h.table1Entries, h.size))
	}
	return nil
}

// needTable1 returns how many L1 entries the virtual size takes.
func (h *header) needTable1() uint64 {
	span := uint(2*h.clusterBits - 3)
	n := h.size >> span
	if h.size&(1<<span-1) != 0 {
		n++
	}
	return n
}

// damaged is the error for a file that breaks the format.
func damaged(why string) error {
	return fault.New(fault.Corrupt, "HX-QCOW-019", "the qcow2 image is damaged: "+why,
		"check it with qemu-img check, or take another copy")
}
