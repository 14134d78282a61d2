package daemon

import (
	"path/filepath"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

// outputs are the directories below which exports may be written.
type outputs []string

// Check refuses a path that does not lie below a root.
func (o outputs) Check(path string) error {
	_, _, err := o.split(path)
	return err
}

// Sink opens the directory, and makes it if it is missing. A symbolic link below
// the root that leads out of it is refused by the operating system's handles,
// not by a look beforehand.
func (o outputs) Sink(path string) (sink.Sink, error) {
	root, sub, err := o.split(path)
	if err != nil {
		return nil, err
	}
	return dir.New(root, sub)
}

// split finds the root and the path below it; a relative path is below the first.
func (o outputs) split(path string) (root, sub string, err error) {
	if strings.ContainsRune(path, 0) {
		return "", "", fault.New(fault.Invalid, "HX-DST-001", "output_path holds a NUL byte", "correct it")
	}
	if !filepath.IsAbs(path) {
		if path == "" {
			path = "."
		}
		if !filepath.IsLocal(path) {
			return "", "", o.denied(path)
		}
		return o[0], filepath.Clean(path), nil
	}
	for _, root := range o {
		if sub, err := filepath.Rel(root, filepath.Clean(path)); err == nil && filepath.IsLocal(sub) {
			return root, sub, nil
		}
	}
	return "", "", o.denied(path)
}

func (o outputs) denied(path string) error {
	return fault.Newf(fault.Denied, "HX-DST-002", "use a path below one of output.roots: "+strings.Join(o, ", "),
		"output_path %q lies outside of the directories that exports may go to", path)
}
