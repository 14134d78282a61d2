package artifact

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// Report is what a verification found.
type Report struct {
	Receipt *receipt.Receipt `json:"receipt"`
	KeyID   string           `json:"key_id"`  // of the key that signed the receipt
	Trusted bool             `json:"trusted"` // the caller named that key
	Disks   []DiskReport     `json:"disks"`
	Files   []FileReport     `json:"files"`
}

// DiskReport is one disk of a Report.
type DiskReport struct {
	Name        string       `json:"name"`
	File        string       `json:"file"`
	Root        receipt.Root `json:"root"` // as the receipt says
	Size        int64        `json:"size_bytes"`
	Differences []Difference `json:"differences,omitempty"`
	Problem     string       `json:"problem,omitempty"` // why it could not be read
}

// FileReport is one file of a Report.
type FileReport struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"`
}

// OK tells whether everything is as the receipt says.
func (r *Report) OK() bool {
	for _, d := range r.Disks {
		if d.Problem != "" || len(d.Differences) > 0 {
			return false
		}
	}
	for _, f := range r.Files {
		if f.Problem != "" {
			return false
		}
	}
	return true
}

// Verify checks the export in dir against its receipt: the signature, the hash
// of every file, and the Merkle root of every disk. key may be nil: then the
// signature shows only that the receipt was not changed since. begin, if not
// nil, is told the disks and their counters before reading starts.
//
// A difference is in the Report, not an error. Kinds NotFound, Corrupt (the
// receipt), Denied (signed by another key).
func Verify(ctx context.Context, dir string, key ed25519.PublicKey, begin func([]receipt.Disk, []*disk.Counters)) (*Report, error) {
	folder, err := OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	rep, err := verify(ctx, folder, key, begin)
	return rep, errors.Join(err, folder.Close())
}

func verify(ctx context.Context, folder *Folder, key ed25519.PublicKey, begin func([]receipt.Disk, []*disk.Counters)) (*Report, error) {
	text, err := folder.receipt()
	if err != nil {
		return nil, err
	}
	r, pub, err := receipt.Open(text)
	if err != nil {
		return nil, err
	}
	if key != nil && !key.Equal(pub) {
		return nil, fault.Newf(fault.Denied, "HX-VERIFY-014", "ask who made this export, or give the key of that daemon",
			"the receipt is signed by key %s, not by %s", receipt.KeyID(pub), receipt.KeyID(key))
	}
	rep := &Report{Receipt: r, KeyID: receipt.KeyID(pub), Trusted: key != nil,
		Disks: make([]DiskReport, len(r.Disks)), Files: make([]FileReport, len(r.Files))}
	counters := make([]*disk.Counters, len(r.Disks))
	for i := range counters {
		counters[i] = new(disk.Counters)
	}
	if begin != nil {
		begin(r.Disks, counters)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i := range r.Files {
		g.Go(func() error {
			return fault.Protect(func() error { return checkFile(ctx, folder, r, &r.Files[i], &rep.Files[i]) })
		})
	}
	for i := range r.Disks {
		g.Go(func() error {
			return fault.Protect(func() error { return checkDisk(ctx, folder, r, &r.Disks[i], &rep.Disks[i], counters[i]) })
		})
	}
	return rep, g.Wait()
}

// checkFile fills in the report; its error is only the end of ctx.
func checkFile(ctx context.Context, folder *Folder, r *receipt.Receipt, f *receipt.File, out *FileReport) error {
	out.Name = f.Name
	file, err := folder.Open(f.Name)
	if err != nil {
		out.Problem = fault.As(err).Msg
		return nil
	}
	size := file.Size()
	if err := file.Close(); err != nil {
		return err
	}
	if size != f.Size {
		out.Problem = "the size differs"
		return nil
	}
	var sum string
	switch {
	case len(f.Members) > 0:
		sum, err = CheckMembers(ctx, folder, f, false)
	case f.SHA256 == "":
		return nil
	default:
		sum, _, err = HashFile(ctx, folder, f.Name)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case fault.Is(err, fault.Corrupt): // it names what differs
	case err != nil:
		out.Problem = "it cannot be read through"
	case f.SHA256 != "" && sum != f.SHA256:
		out.Problem = "the SHA-256 differs"
	case len(f.Members) > 0:
	case path.Ext(f.Name) == ".ova" && r.Format == "ova":
		err = CheckPackage(ctx, folder, f.Name)
	case path.Ext(f.Name) == ".mf" && r.Format == "ovf":
		err = folder.checkPackage(ctx)
	}
	if err != nil && out.Problem == "" {
		out.Problem = fault.As(err).Msg
	}
	return nil
}

func checkDisk(ctx context.Context, folder *Folder, r *receipt.Receipt, d *receipt.Disk, out *DiskReport, n *disk.Counters) error {
	out.Name, out.File, out.Root, out.Size = d.Name, d.File, d.Root, d.Size
	diff, err := CheckDisk(ctx, folder, r.Format, d, n)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		out.Problem = fault.As(err).Msg
	}
	out.Differences = diff
	return nil
}
