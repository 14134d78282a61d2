package upload

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// bucket is the medium of s3://. The objects appear one by one.
type bucket struct {
	store          *s3.Store
	t              *workflow.Task
	ledger         s3.Ledger
	bucket, prefix string
}

func (u *Upload) bucket(t *workflow.Task, d *url.URL) (medium, error) {
	if u.S3 == nil {
		return nil, fault.New(fault.Unprocessable, "HX-UPLOAD-002", "uploads to s3:// are not configured here", "set s3.roots, and the endpoint and credentials")
	}
	return &bucket{store: u.S3, t: t, ledger: t.Ledger.Of(t.Step.ID, s3.Provider), bucket: d.Host, prefix: prefixOf(d)}, nil
}

func (b *bucket) put(ctx context.Context, f file) (job.Artifact, error) {
	out := f.Artifact
	key := path.Join(b.prefix, f.Name)
	out.Path, out.URL = "", "s3://"+b.bucket+"/"+key
	var err error
	out.SHA256, err = b.store.Put(ctx, s3.Object{
		Bucket: b.bucket, Key: key, Content: f, Size: f.Size(), SHA256: f.SHA256, Owner: b.t.Job.ID,
		Overwrite: b.t.Step.Overwrite, Verify: b.t.Step.Verify != "none", Ledger: b.ledger, Count: f.count,
	})
	return out, err
}

func (b *bucket) finish(context.Context) error { return nil }
func (b *bucket) close() error                 { return nil }

// discard aborts what is not complete and removes the objects that this step
// made.
func (b *bucket) discard(ctx context.Context) error {
	if err := b.store.Abort(ctx, b.ledger); err != nil {
		return err
	}
	var st state
	if b.t.Token != nil {
		if err := json.Unmarshal(b.t.Token, &st); err != nil {
			return fault.Wrap(err, fault.Corrupt, "HX-UPLOAD-004", "the saved state of the upload is damaged", "remove its objects by hand")
		}
	}
	names := slices.Collect(maps.Keys(st.Done))
	if b.t.Input != nil { // one may have been complete before that was noted
		for _, a := range b.t.Input.Artifacts {
			names = append(names, a.Name)
		}
		names = append(names, receipt.FileName)
	}
	for _, name := range names {
		if err := b.store.Remove(ctx, b.bucket, path.Join(b.prefix, name), b.t.Job.ID); err != nil {
			return err
		}
	}
	return nil
}
