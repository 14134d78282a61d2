package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"

	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// CheckMembers reads an OVA once and compares every byte of it with the receipt:
// the members with their hashes, all around them with that of the frame, and the
// manifest, if there is one or must be, with the members. It returns the SHA-256
// of the whole file in hex. Kind Corrupt: it differs.
func CheckMembers(ctx context.Context, files Files, f *receipt.File, must bool) (sum string, err error) {
	stored, err := files.Open(f.Name)
	if err != nil {
		return "", err
	}
	sum, err = checkMembers(ctx, stored, f)
	if err == nil {
		err = checkManifest(stored, f, must)
	}
	return sum, errors.Join(err, stored.Close())
}

// region is a part of a file that has a hash of its own.
type region struct {
	name string
	end  int64
	hash hash.Hash
	want string // hex; empty: another part of the frame comes behind it
}

func checkMembers(ctx context.Context, stored sink.ReadFile, f *receipt.File) (string, error) {
	regions, err := regionsOf(stored.Size(), f)
	if err != nil {
		return "", err
	}
	whole := sha256.New()
	err = readThrough(ctx, stored, f.Name, func(p []byte, off int64) error {
		_, _ = whole.Write(p)
		for len(p) > 0 {
			r := regions[0]
			n := min(int64(len(p)), r.end-off)
			_, _ = r.hash.Write(p[:n])
			p, off = p[n:], off+n
			if off < r.end {
				return nil
			}
			if got := hex.EncodeToString(r.hash.Sum(nil)); r.want != "" && got != r.want {
				return differs("%s: %s is not what was written: its SHA-256 is %s, not %.64q", f.Name, r.name, got, r.want)
			}
			regions = regions[1:]
		}
		return nil
	})
	return hex.EncodeToString(whole.Sum(nil)), err
}

// regionsOf splits a file at its members: what is between them is the frame.
func regionsOf(size int64, f *receipt.File) ([]region, error) {
	if size != f.Size {
		return nil, differs("%s is not what was written: it has %d bytes, not %d", f.Name, size, f.Size)
	}
	frame := sha256.New()
	var all []region
	end := int64(0)
	for _, m := range f.Members {
		if m.Offset <= end || m.Size < 0 || m.Size > size-m.Offset || m.SHA256 == "" {
			return nil, differs("the receipt of %s is not possible: %.100q at %d", f.Name, m.Name, m.Offset)
		}
		end = m.Offset + m.Size
		all = append(all, region{end: m.Offset, hash: frame}, region{m.Name, end, sha256.New(), m.SHA256})
	}
	if end >= size || f.Frame == "" {
		return nil, differs("the receipt of %s is not possible: it does not tell what follows the members", f.Name)
	}
	return append(all, region{"what is around its members", size, frame, f.Frame}), nil
}

func differs(format string, args ...any) error {
	return fault.Newf(fault.Corrupt, "HX-VERIFY-007", "check the destination's storage and memory, then export again", format, args...)
}

// checkManifest compares the manifest inside an OVA with the members.
func checkManifest(stored sink.ReadFile, f *receipt.File, must bool) error {
	p, err := ova.OpenOVA(stored, stored.Size())
	if err != nil || !must && !p.Manifest {
		return err
	}
	sums := make(map[string]string, len(f.Members))
	for _, m := range f.Members {
		sums[m.Name] = m.SHA256
	}
	return p.Covers(sums)
}
