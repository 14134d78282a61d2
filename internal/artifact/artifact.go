// Package artifact reads stored exports back and proves them: it opens every
// format as a disk.Source, by a path independent of the writers, and compares
// with the receipt.
package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// Files is where the files of an export are: a sink.Stage, or a directory.
type Files interface {
	Open(name string) (sink.ReadFile, error)
}

// Image is an opened disk image. Close frees the source and the file.
type Image struct {
	disk.Source
	file io.Closer
}

// Close frees the image; it is idempotent as far as its parts are.
func (i *Image) Close() error { return errors.Join(i.Source.Close(), i.file.Close()) }

// OpenDisk opens the image that holds a disk. format is the receipt's. Kinds
// NotFound, Corrupt.
func OpenDisk(files Files, format string, d *receipt.Disk) (*Image, error) {
	img, err := openImage(files, format, d.File, d.Member)
	if err != nil {
		return nil, err
	}
	if size := img.Info().Size; size != d.Size {
		return nil, errors.Join(fault.Newf(fault.Corrupt, "HX-VERIFY-001", "export again",
			"%s holds a disk of %d bytes, the receipt says %d", d.File, size, d.Size), img.Close())
	}
	return img, nil
}

// OpenImage opens a disk image: raw, vmdk or qcow2. The format is not guessed.
func OpenImage(files Files, format, name string) (*Image, error) {
	return openImage(files, format, name, "")
}

func openImage(files Files, format, name, member string) (*Image, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	var src disk.Source
	switch format {
	case "raw":
		src = disk.NewRawSource(f, disk.Info{Name: name, Size: f.Size()})
	case "qcow2":
		src, err = qcow2.Open(f, f.Size())
	case "vmdk", "ovf":
		src, err = vmdk.Open(f, f.Size(), vmdk.OpenOptions{})
	case "ova":
		src, err = openMember(f, member)
	default:
		err = unknownFormat(format)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Image{Source: src, file: f}, nil
}

func openMember(f sink.ReadFile, name string) (disk.Source, error) {
	p, err := ova.OpenOVA(f, f.Size())
	if err != nil {
		return nil, err
	}
	for _, d := range p.Disks {
		if d.File == name {
			return vmdk.Open(d.Content, d.Content.Size(), vmdk.OpenOptions{})
		}
	}
	return nil, fault.Newf(fault.Corrupt, "HX-VERIFY-005", "export again", "the OVA does not hold the disk %q", name)
}

// CheckPackage compares an OVA with its own manifest. One without a manifest is
// in order: its receipt proves it. Kind Corrupt.
func CheckPackage(ctx context.Context, files Files, name string) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	p, err := ova.OpenOVA(f, f.Size())
	if err == nil && p.Manifest {
		err = p.Verify(ctx)
	}
	return errors.Join(err, f.Close())
}

// Difference is a stretch of a disk whose stored content is not what was read
// at the source.
type Difference struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// CheckDisk reads the stored disk whole and compares it with the receipt. It
// returns where it differs: nothing if it does not. An error means that it could
// not be read through.
func CheckDisk(ctx context.Context, files Files, format string, d *receipt.Disk, n *disk.Counters) ([]Difference, error) {
	img, err := OpenDisk(files, format, d)
	if err != nil {
		return nil, err
	}
	res, err := disk.Measure(ctx, img, n)
	if err := errors.Join(err, img.Close()); err != nil {
		return nil, err
	}
	if receipt.Root(res.Root) == d.Root {
		return nil, nil
	}
	return differences(&res, d), nil
}

// differences finds the ranges that differ, neighbours joined. Without usable
// ranges in the receipt the whole disk is one.
func differences(got *disk.CopyResult, want *receipt.Disk) []Difference {
	if got.RangeSize != want.RangeSize || len(got.Ranges) != len(want.Ranges) {
		return []Difference{{0, want.Size}}
	}
	var out []Difference
	for i := range got.Ranges {
		if got.Ranges[i] == want.Ranges[i] {
			continue
		}
		off := int64(i) * want.RangeSize
		length := min(want.RangeSize, want.Size-off)
		if last := len(out) - 1; last >= 0 && out[last].Offset+out[last].Length == off {
			out[last].Length += length
		} else {
			out = append(out, Difference{off, length})
		}
	}
	if len(out) == 0 {
		out = []Difference{{0, want.Size}}
	}
	return out
}

const hashRead = 1 << 20 // bytes per read

// HashFile returns the SHA-256 of a whole file in hex, and its size.
func HashFile(ctx context.Context, files Files, name string) (string, int64, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	err = readThrough(ctx, f, name, func(p []byte, _ int64) error {
		_, _ = h.Write(p)
		return nil
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), f.Size(), nil
}

// readThrough gives the whole content to fn, in order.
func readThrough(ctx context.Context, f sink.ReadFile, name string, fn func(p []byte, off int64) error) error {
	buf := make([]byte, hashRead)
	for off := int64(0); off < f.Size(); off += hashRead {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := buf[:min(hashRead, f.Size()-off)]
		if n, err := f.ReadAt(p, off); n < len(p) {
			return fault.Wrap(err, fault.Unavailable, "HX-VERIFY-006",
				fmt.Sprintf("%s cannot be read back at offset %d", name, off), "check the destination's storage")
		}
		if err := fn(p, off); err != nil {
			return err
		}
	}
	return nil
}
