package vmdk

import "encoding/binary"

// markerKind is the type of a metadata marker.
type markerKind uint32

const (
	markerEnd       markerKind = 0
	markerTable     markerKind = 1
	markerDirectory markerKind = 2
	markerFooter    markerKind = 3
	// markerProgress is sent by vSphere while it skips a long hole, so that the
	// reader sees that the stream is alive. One sector, no content that matters.
	markerProgress markerKind = 4
)

// Lengths of the two kinds of markers in bytes. The data of a grain follows its
// marker directly; a metadata marker fills its sector.
const (
	grainMarkerSize = 12
	markerSize      = 16
)

// marker is the start of a grain or of a piece of metadata.
type marker struct {
	value uint64     // grain: first sector of disk; metadata: sectors that follow
	size  uint32     // grain: bytes of data; metadata: 0
	kind  markerKind // metadata only
}

// parseMarker reads a marker. For a grain, the bytes of kind are data already.
func parseMarker(p []byte) marker {
	le := binary.LittleEndian
	return marker{value: le.Uint64(p), size: le.Uint32(p[8:]), kind: markerKind(le.Uint32(p[12:]))}
}

// encode makes the sector of a metadata marker.
func (m marker) encode() (p [sectorSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(p[0:], m.value)
	le.PutUint32(p[8:], m.size)
	le.PutUint32(p[12:], uint32(m.kind))
	return p
}

// encodeGrain makes the marker in front of the data of a grain.
func (m marker) encodeGrain() (p [grainMarkerSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(p[0:], m.value)
	le.PutUint32(p[8:], m.size)
	return p
}

// padding is how many bytes are missing to the next sector after n bytes.
func padding(n int) int { return -n & (sectorSize - 1) }

// grainSpan is the length in the file of a grain with n bytes of data.
func grainSpan(n uint32) uint64 {
	return (grainMarkerSize + uint64(n) + sectorSize - 1) &^ (sectorSize - 1)
}

// decodeTable reads little-endian sector numbers from p into dst.
func decodeTable(dst []uint32, p []byte) {
	for i := range dst {
		dst[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
}

// appendTable appends sector numbers in little-endian order.
func appendTable(b []byte, entries []uint32) []byte {
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint32(b, e)
	}
	return b
}
