package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"path"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// chunk is the unit of copying.
const chunk = 1 << 20

// directory is the medium of file://. The directory appears by one rename.
type directory struct {
	stage  sink.Stage
	path   string
	verify bool
}

func (u *Upload) directory(ctx context.Context, t *workflow.Task, d *url.URL) (medium, error) {
	dir := path.Clean(d.Path)
	s, err := u.Outputs.Sink(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	// The stage finds out by the receipt whether the directory is there already:
	// it is that of the export which is uploaded.
	owner := t.Job.ID
	if t.Input != nil && len(t.Input.Receipt) > 0 {
		r, _, err := receipt.Open(t.Input.Receipt)
		if err != nil {
			return nil, err
		}
		owner = r.JobID
	}
	stage, err := s.Stage(ctx, path.Base(dir), owner)
	if err != nil {
		return nil, err
	}
	return &directory{stage: stage, path: dir, verify: t.Step.Verify != "none"}, nil
}

func (d *directory) put(ctx context.Context, f file) (job.Artifact, error) {
	out := f.Artifact
	out.Path = filepath.Join(d.path, f.Name)
	out.URL = "file://" + filepath.ToSlash(out.Path)
	obj, err := d.stage.Create(f.Name, false)
	if fault.Is(err, fault.Conflict) {
		return out, nil // published by an earlier run
	}
	if err != nil {
		return out, err
	}
	sum, err := copyFile(ctx, obj, f)
	if err := errors.Join(err, obj.Close()); err != nil {
		return out, err
	}
	if f.SHA256 != "" && sum != f.SHA256 {
		return out, fault.Newf(fault.Corrupt, "HX-UPLOAD-006", "check the storage of the export, then export again",
			"%s is not what its receipt says: it changed since it was exported", f.Name)
	}
	out.SHA256 = sum
	if !d.verify {
		return out, nil
	}
	if back, _, err := artifact.HashFile(ctx, d.stage, f.Name); err != nil || back != sum {
		return out, errors.Join(err, fault.Newf(fault.Corrupt, "HX-UPLOAD-007", "check the destination's storage and memory",
			"what was stored of %s is not what was read", f.Name))
	}
	return out, nil
}

// copyFile copies, leaves holes where there are zeros, and returns the SHA-256.
func copyFile(ctx context.Context, to sink.Object, f file) (string, error) {
	h := sha256.New()
	buf := make([]byte, chunk)
	for off := int64(0); off < f.Size(); off += chunk {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		p := buf[:min(chunk, f.Size()-off)]
		if n, err := f.ReadAt(p, off); n < len(p) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", fault.Wrap(err, fault.Unavailable, "HX-UPLOAD-008", f.Name+" cannot be read", "check the storage of the export")
		}
		_, _ = h.Write(p)
		if !zero(p) {
			if _, err := to.WriteAt(p, off); err != nil {
				return "", err
			}
		}
		f.count(int64(len(p)))
	}
	return hex.EncodeToString(h.Sum(nil)), to.Truncate(f.Size())
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

func (d *directory) finish(ctx context.Context) error {
	_, err := d.stage.Publish(ctx)
	return err
}

func (d *directory) discard(ctx context.Context) error { return d.stage.Discard(ctx) }
func (d *directory) close() error                      { return d.stage.Close() }
