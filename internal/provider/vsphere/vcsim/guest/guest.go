// Package guest makes a small bootable disk that checks itself: its boot sector
// reads a payload through the BIOS, computes a checksum and says on the serial
// console whether it is the one that it was written with. It is the witness
// that an exported disk boots and is unharmed, without a guest operating system.
//
// On COM1 (115200 8N1, and in text mode on the screen) it prints
//
//	hypersdk guest
//	HX-BOOT-OK sum=XXXXXXXX
//
// or HX-BOOT-BAD with the sum that it found (or what it had when a read failed),
// and then powers off by ACPI at QEMU's address, or by APM.
package guest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
)

// The layout of the disk, in bytes.
const (
	sectorSize    = 512
	payloadOffset = 1 << 20
	payloadSize   = 8 << 20
	// MinSize is the smallest disk that holds the guest.
	MinSize = payloadOffset + payloadSize
)

// Write writes the guest to a disk of size bytes which reads as zero: boot
// sector and payload, nothing else. The same seed gives the same bytes. It
// returns the line that the guest prints when it finds itself unharmed.
func Write(w io.WriterAt, size int64, seed uint64) (marker string, err error) {
	if size < MinSize {
		return "", fmt.Errorf("the guest needs a disk of %d bytes, not %d", int64(MinSize), size)
	}
	sum := fnv.New32a()
	if err := writePayload(w, sum, seed); err != nil {
		return "", err
	}
	sector := bootSector(sum.Sum32(), uint32(seed))
	if _, err := w.WriteAt(sector[:], 0); err != nil {
		return "", fmt.Errorf("write boot sector: %w", err)
	}
	return fmt.Sprintf("HX-BOOT-OK sum=%08X", sum.Sum32()), nil
}

// writePayload writes 64 KiB pieces, random and repeating by turns.
func writePayload(w io.WriterAt, sum io.Writer, seed uint64) error {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	random := rand.NewChaCha8(key)
	piece := make([]byte, 64<<10)
	for off := int64(0); off < payloadSize; off += int64(len(piece)) {
		_, _ = random.Read(piece) // never fails
		if off/int64(len(piece))%2 == 1 {
			for n := 64; n < len(piece); n *= 2 {
				copy(piece[n:], piece[:n])
			}
		}
		_, _ = sum.Write(piece) // a hash never fails
		if _, err := w.WriteAt(piece, payloadOffset+off); err != nil {
			return fmt.Errorf("write payload: %w", err)
		}
	}
	return nil
}
