// Package upload is the step that takes an export elsewhere: to a directory or
// to an S3-compatible store. The receipt goes last: a set of files without one is
// not complete.
package upload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
	"github.com/hypersdk/hypersdk/internal/tracing"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// Outputs finds the sink of a directory: see step.Outputs.
type Outputs interface {
	Check(path string) error
	Sink(path string) (sink.Sink, error)
}

// Upload implements workflow.Executor.
type Upload struct {
	Outputs Outputs
	S3      *s3.Store // nil: not configured
}

// medium is where an upload goes.
type medium interface {
	// put stores one file and returns the artifact. A file of an earlier run is
	// not stored twice.
	put(ctx context.Context, f file) (job.Artifact, error)
	// finish makes the set appear, if the files did not one by one.
	finish(ctx context.Context) error
	// discard removes what was put.
	discard(ctx context.Context) error
	// close frees local resources.
	close() error
}

// file is one file of the export.
type file struct {
	job.Artifact
	sink.ReadFile
	count func(n int64) // bytes that went
}

// Validate implements workflow.Executor.
func (u *Upload) Validate(_ context.Context, s job.Step) error {
	d, err := url.Parse(s.Destination)
	if err != nil {
		return fault.New(fault.Unprocessable, "HX-UPLOAD-001", "the destination is no URL", "write s3://BUCKET/PREFIX or file:///DIRECTORY")
	}
	if d.Scheme == "s3" {
		if u.S3 == nil {
			return fault.New(fault.Unprocessable, "HX-UPLOAD-002", "uploads to s3:// are not configured here", "set s3.roots, and the endpoint and credentials")
		}
		return u.S3.Check(d.Host, prefixOf(d))
	}
	dir := path.Clean(d.Path)
	if err := u.Outputs.Check(dir); err != nil {
		return err
	}
	if base := path.Base(dir); sink.CleanName(base) != base {
		return fault.Newf(fault.Unprocessable, "HX-UPLOAD-003", "use letters, digits and -_.()+@=", "the directory's name %.100q holds what not every file system takes", base)
	}
	return u.Outputs.Check(path.Dir(dir))
}

func prefixOf(d *url.URL) string { return strings.Trim(path.Clean("/"+d.Path), "/") }

// state is what a run leaves for the next one.
type state struct {
	Done map[string]job.Artifact `json:"done"` // files that are stored
}

// Execute implements workflow.Executor.
func (u *Upload) Execute(ctx context.Context, t workflow.Task) (o job.Outcome, err error) {
	set, err := open(t.Input)
	if err != nil {
		return o, err
	}
	defer func() { err = closing(err, set.Close) }()
	m, err := u.medium(ctx, &t)
	if err != nil {
		return o, err
	}
	defer func() { err = closing(err, m.close) }()
	if err := put(ctx, t, set, m, &o); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return job.Outcome{}, err
	}
	o.Receipt = t.Input.Receipt
	return o, m.finish(ctx)
}

// put stores what is not stored yet.
func put(ctx context.Context, t workflow.Task, set *files, m medium, o *job.Outcome) error {
	st := state{Done: map[string]job.Artifact{}}
	if t.Token != nil {
		if err := json.Unmarshal(t.Token, &st); err != nil {
			return fault.Wrap(err, fault.Corrupt, "HX-UPLOAD-004", "the saved state of the upload is damaged", "submit the job again")
		}
	}
	meter := newMeter(t.Progress, set.list, st.Done)
	for _, a := range set.list {
		if done, ok := st.Done[a.Name]; ok {
			o.Artifacts = append(o.Artifacts, done)
			continue
		}
		f, err := set.Open(a.Name)
		if err != nil {
			return err
		}
		inner, span := tracing.Client(ctx, "store file", attribute.Int64("hypervisord.file.bytes", f.Size()))
		stored, err := m.put(inner, file{Artifact: a, ReadFile: f, count: meter.add})
		err = closing(err, f.Close)
		span.End(err)
		if err != nil {
			return err
		}
		st.Done[a.Name] = stored
		o.Artifacts = append(o.Artifacts, stored)
		token, err := json.Marshal(st)
		if err != nil {
			return fmt.Errorf("upload: %w", err)
		}
		if err := t.SaveToken(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

// Cleanup implements workflow.Executor.
func (u *Upload) Cleanup(ctx context.Context, t workflow.Task) error {
	m, err := u.medium(ctx, &t)
	if fault.Is(err, fault.Conflict) {
		return nil // what is there is not ours to remove
	}
	if err != nil {
		return err
	}
	return closing(m.discard(ctx), m.close)
}

func (u *Upload) medium(ctx context.Context, t *workflow.Task) (medium, error) {
	d, err := url.Parse(t.Step.Destination)
	if err != nil {
		return nil, fault.New(fault.Unprocessable, "HX-UPLOAD-001", "the destination is no URL", "write s3://BUCKET/PREFIX or file:///DIRECTORY")
	}
	if d.Scheme == "s3" {
		return u.bucket(t, d)
	}
	return u.directory(ctx, t, d)
}

// files is the export that is uploaded.
type files struct {
	*artifact.Folder
	list []job.Artifact
}

// open opens the input's directory. The receipt is the last of its files.
func open(in *job.Outcome) (*files, error) {
	if in == nil || len(in.Artifacts) == 0 || in.Artifacts[0].Path == "" {
		return nil, fault.New(fault.Unprocessable, "HX-UPLOAD-005", "the input holds no files on this machine", "give it the output of an export")
	}
	folder, err := artifact.OpenFolder(path.Dir(in.Artifacts[0].Path))
	if err != nil {
		return nil, err
	}
	list := append([]job.Artifact(nil), in.Artifacts...)
	if len(in.Receipt) > 0 {
		f, err := folder.Open(receipt.FileName)
		if err != nil {
			return nil, closing(err, folder.Close)
		}
		list = append(list, job.Artifact{Name: receipt.FileName, Format: "receipt", Bytes: f.Size()})
		if err := f.Close(); err != nil {
			return nil, closing(err, folder.Close)
		}
	}
	return &files{Folder: folder, list: list}, nil
}

// closing keeps the first error of work and its end.
func closing(err error, end func() error) error {
	if cerr := end(); err == nil {
		return cerr
	}
	return err
}
