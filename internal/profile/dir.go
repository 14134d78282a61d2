package profile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// DefaultDir is where profiles lie unless the configuration says otherwise.
const DefaultDir = "/etc/hypersdk/profiles"

// maxFiles is how many profiles a directory may have.
const maxFiles = 1000

// Dirs reads profiles from directories: files ID.yaml. Of two files with one id
// the one in the earlier directory counts. What has changed since is read again:
// nobody has to be told about an edit. Its methods may be called concurrently.
type Dirs struct {
	paths []string

	mu    sync.Mutex
	cache map[string]cached // by path
}

// cached is a file as it was read last.
type cached struct {
	size     int64
	modified time.Time
	profile  Profile
}

// NewDirs makes a reader of directories. One that does not exist is empty.
func NewDirs(paths ...string) *Dirs { return &Dirs{paths: paths, cache: map[string]cached{}} }

// SetPaths makes it read other directories from now on.
func (d *Dirs) SetPaths(paths ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paths = paths
}

// Load returns the profiles as they are. A file that is no profile is there with
// its Problem. Kind Unavailable: a directory cannot be read.
func (d *Dirs) Load() (Set, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	set, seen := Set{}, map[string]cached{}
	for _, dir := range d.paths {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Wrap(err, fault.Unavailable, "HX-PROFILE-020", "the directory of profiles "+dir+" cannot be read", "check its permissions")
		}
		for _, e := range entries {
			id, isProfile := strings.CutSuffix(e.Name(), ".yaml")
			if _, shadowed := set[id]; !isProfile || shadowed || strings.HasPrefix(id, ".") {
				continue
			}
			if len(set) == maxFiles {
				return nil, fault.Newf(fault.Unavailable, "HX-PROFILE-021", "move some elsewhere", "there are more than %d profiles in %s", maxFiles, dir)
			}
			path := filepath.Join(dir, e.Name())
			c := d.file(id, path)
			seen[path], set[id] = c, c.profile
		}
	}
	d.cache = seen
	return set, nil
}

// file reads one file, unless it is as it was.
func (d *Dirs) file(id, path string) cached {
	st, err := os.Stat(path)
	if err == nil {
		if c, ok := d.cache[path]; ok && c.size == st.Size() && c.modified.Equal(st.ModTime()) {
			return c
		}
	}
	if err == nil && !st.Mode().IsRegular() { // to open it might wait for ever
		err = fault.New(fault.Unprocessable, "HX-PROFILE-022", "it is no regular file", "make it one")
	}
	var p Profile
	if err == nil {
		p, err = read(id, path)
	}
	if err != nil {
		p = Profile{ID: id, Problem: problem(err)}
	}
	p.Source = SourceFile
	if st == nil {
		return cached{profile: p}
	}
	p.UpdatedAt = st.ModTime().UTC()
	return cached{size: st.Size(), modified: st.ModTime(), profile: p}
}

func read(id, path string) (Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return Profile{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, MaxText+1))
	if err != nil {
		return Profile{}, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(id, text, "application/yaml")
}

// problem says what is wrong with a file. What the operating system said may be
// shown: it names the file and nothing else.
func problem(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Msg
	}
	return "it cannot be read: " + err.Error()
}
