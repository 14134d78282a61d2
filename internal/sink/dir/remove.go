package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// Remove deletes the published output of a job: the directory at sub below root,
// whole. With dry it only tells whether it would. Nothing outside of root is
// touched. Kinds: NotFound (it is gone), Conflict (it is another job's, or not as
// the job left it: somebody works with it), Unavailable.
//
// The directory disappears by one rename; after a crash the next call goes on.
func Remove(_ context.Context, root, sub, jobID string, dry bool) (bytes int64, err error) {
	path := filepath.Join(root, sub)
	top, err := os.OpenRoot(root)
	if err != nil {
		return 0, classify(err, path)
	}
	defer top.Close() //nolint:errcheck // nothing is written through it
	parent, err := top.OpenRoot(filepath.Dir(sub))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, gone(path)
	}
	if err != nil {
		return 0, classify(err, path)
	}
	defer parent.Close() //nolint:errcheck // as above
	name := filepath.Base(sub)
	trash := "." + name + "." + jobID + ".removed"
	if !dry {
		if err := parent.RemoveAll(trash); err != nil {
			return 0, classify(err, path)
		}
	}
	if bytes, err = inspect(parent, name, jobID, path); err != nil || dry {
		return bytes, err
	}
	if err := parent.Rename(name, trash); err != nil {
		return 0, classify(err, path)
	}
	if err := syncDir(parent); err != nil {
		return 0, classify(err, path)
	}
	return bytes, classify(parent.RemoveAll(trash), path)
}

// inspect tells how many bytes an output holds. It fails if the output is not
// exactly what the receipt of the job lists.
func inspect(parent *os.Root, name, jobID, path string) (bytes int64, err error) {
	st, err := parent.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, gone(path)
	case err != nil:
		return 0, classify(err, path)
	case !st.IsDir():
		return 0, changed(path, "it is not a directory any more")
	}
	out, err := parent.OpenRoot(name)
	if err != nil {
		return 0, classify(err, path)
	}
	defer out.Close() //nolint:errcheck // only read
	expected, err := listed(out, jobID, path)
	if err != nil {
		return 0, err
	}
	entries, err := fs.ReadDir(out.FS(), ".")
	if err != nil {
		return 0, classify(err, path)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, classify(err, path)
		}
		size, known := expected[e.Name()]
		switch {
		case !known:
			return 0, changed(path, "the receipt does not list "+e.Name())
		case !info.Mode().IsRegular() || info.Size() != size:
			return 0, changed(path, e.Name()+" is not what the receipt lists")
		}
		bytes += size
		delete(expected, e.Name())
	}
	for missing := range expected {
		return 0, changed(path, missing+" is missing")
	}
	return bytes, nil
}

// listed returns the files that the receipt of the job lists, and itself, with
// their sizes.
func listed(out *os.Root, jobID, path string) (map[string]int64, error) {
	f, err := out.Open(receipt.FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, changed(path, "its receipt is missing")
	}
	if err != nil {
		return nil, classify(err, path)
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, receipt.MaxSize))
	if err != nil {
		return nil, classify(err, path)
	}
	r, _, err := receipt.Open(text)
	if err != nil {
		return nil, changed(path, fault.As(err).Msg)
	}
	if r.JobID != jobID {
		return nil, changed(path, "its receipt names another job")
	}
	files := map[string]int64{receipt.FileName: int64(len(text))}
	for _, file := range r.Files {
		files[file.Name] = file.Size
	}
	return files, nil
}

func gone(path string) error {
	return fault.Newf(fault.NotFound, "HX-DST-020", "", "there is no output at %s", path)
}

func changed(path, why string) error {
	return fault.Newf(fault.Conflict, "HX-DST-021", "remove it by hand if nobody needs it",
		"the output at %s is not as the job left it: %s", path, why)
}
