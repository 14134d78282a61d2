package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// Staged is a staging area that a walk has found.
type Staged struct {
	Path string // for people
	Job  string
	Step string // of a workflow; empty: none
	Mark string // see sink.Marked
}

const uuidText = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	stagedName = regexp.MustCompile(`^\.(.+)\.(` + uuidText + `)(?:\.([A-Za-z0-9_][A-Za-z0-9_-]{0,62}))?\.([0-9a-f]{12})\.partial$`)
	endsInUUID = regexp.MustCompile(`\.` + uuidText + `$`)
)

// parseStaged reads the name of a staging area. ok is false for what is none, and
// for a name that can be read in two ways.
func parseStaged(name string) (s Staged, ok bool) {
	m := stagedName.FindStringSubmatch(name)
	if m == nil || endsInUUID.MatchString(m[1]) {
		return s, false
	}
	return Staged{Job: m[2], Step: m[3], Mark: m[4]}, true
}

// sweepDepth bounds how deep Sweep looks below a root.
const sweepDepth = 32

// Sweep looks for staging areas below a root and removes those of which useless says
// so, twice: once to leave what is needed alone, so that whoever wants to go on in it
// finds it free, and again while the area is locked. One that a process of this
// machine holds on to is passed by, and whoever opens it later makes a new one. Published
// outputs, hidden directories and links are not entered. An error of useless ends
// the walk; what cannot be read or removed is told at the end.
func Sweep(ctx context.Context, root string, useless func(Staged) (bool, error)) (removed []Staged, err error) {
	top, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, classify(err, root)
	}
	w := &sweep{ctx: ctx, useless: useless}
	w.walk(top, root, sweepDepth)
	return w.removed, errors.Join(append(w.errs, w.stop)...)
}

type sweep struct {
	ctx     context.Context //nolint:containedctx // of the one call
	useless func(Staged) (bool, error)
	removed []Staged
	errs    []error
	stop    error // ends the walk
}

// walk looks through a directory, and closes it.
func (w *sweep) walk(d *os.Root, path string, depth int) {
	defer d.Close() //nolint:errcheck // nothing is written through it
	entries, err := fs.ReadDir(d.FS(), ".")
	if err != nil {
		w.errs = append(w.errs, classify(err, path))
		return
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == receipt.FileName }) {
		return
	}
	for _, e := range entries {
		if w.stop == nil {
			w.stop = context.Cause(w.ctx)
		}
		if w.stop != nil || !e.IsDir() {
			continue
		}
		below := filepath.Join(path, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			w.judge(d, e.Name(), below)
			continue
		}
		if depth == 0 {
			continue
		}
		sub, err := d.OpenRoot(e.Name())
		if err != nil {
			w.errs = append(w.errs, classify(err, below))
			continue
		}
		w.walk(sub, below, depth-1)
	}
}

func (w *sweep) judge(d *os.Root, name, path string) {
	s, ok := parseStaged(name)
	if !ok {
		return
	}
	s.Path = path
	if useless, err := w.useless(s); err != nil || !useless {
		w.stop = err
		return
	}
	held, err := lock(d, name, os.O_RDONLY, path)
	switch {
	case fault.Is(err, fault.Conflict), errors.Is(err, fs.ErrNotExist):
		return // somebody works in it, or has published it
	case err != nil:
		w.errs = append(w.errs, err)
		return
	}
	defer held.Close() //nolint:errcheck // only locked
	useless, err := w.useless(s)
	if err != nil || !useless {
		w.stop = err
		return
	}
	if err := d.RemoveAll(name); err != nil {
		w.errs = append(w.errs, classify(err, path))
		return
	}
	w.removed = append(w.removed, s)
}
