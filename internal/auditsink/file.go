package auditsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// FileOptions say where the file is and when another one begins.
type FileOptions struct {
	Path     string
	MaxSize  int64         // bytes, about; 0: any
	MaxAge   time.Duration // a new file in each such period, in UTC; 0: not by time
	MaxFiles int           // full ones that are kept; 0: all
	NoSync   bool          // true: what a power cut takes is gone
}

// File appends a line of JSON for each entry. Full files get the last place in them
// as an ending, so that their names sort in the order of the log. Others may read
// and move the files, and must not write to them.
type File struct {
	o    FileOptions
	now  func() time.Time
	f    *os.File
	size int64
	last fileLine // of the file
}

// fileLine is an entry with the hash of its leaf, so that a copy can be compared with
// the log.
type fileLine struct {
	audit.Entry

	Hash audit.Hash `json:"hash"`
}

// NewFile makes a File. Nothing is opened yet.
func NewFile(o FileOptions) *File { return &File{o: o, now: time.Now} }

// tailSize is more than a line has.
const tailSize = 1 << 20

// Deliver implements Sink.
func (f *File) Deliver(_ context.Context, b *Batch) error {
	if err := f.ready(); err != nil {
		return errFile(f.o.Path, errors.Join(err, f.Close()))
	}
	lines := b.Lines
	if i := slices.IndexFunc(lines, func(l audit.Line) bool { return l.Pos == f.last.Pos && l.Hash == f.last.Hash }); i >= 0 {
		lines = lines[i+1:] // the batch is made again; these are in the file
	}
	err := f.write(lines)
	if err == nil && !f.o.NoSync {
		err = f.f.Sync()
	}
	if err != nil { // what is in the file is looked at again
		return errFile(f.o.Path, errors.Join(err, f.Close()))
	}
	return nil
}

// Close implements Sink.
func (f *File) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

func errFile(path string, err error) error {
	return fault.Wrap(err, fault.Unavailable, "HX-AUDIT-021", "the audit file "+path+" cannot be written", "check the directory, its permissions and the free space")
}

// ready opens the file that is written to: a new one if it was moved away, or if
// its time is over.
func (f *File) ready() error {
	if f.f != nil && !f.isCurrent() {
		if err := f.Close(); err != nil {
			return err
		}
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size() // somebody may have emptied it
	old := f.o.MaxAge > 0 && info.ModTime().Truncate(f.o.MaxAge).Before(f.now().Truncate(f.o.MaxAge))
	if f.size > 0 && (old || f.o.MaxSize > 0 && f.size >= f.o.MaxSize) {
		return f.rotate()
	}
	return nil
}

// isCurrent tells whether the path still leads to the open file.
func (f *File) isCurrent() bool {
	here, err := os.Lstat(f.o.Path)
	if err != nil {
		return false
	}
	open, err := f.f.Stat()
	return err == nil && os.SameFile(here, open)
}

// open opens the file, makes it if there is none, and finds its last line.
func (f *File) open() (err error) {
	if err := os.MkdirAll(filepath.Dir(f.o.Path), 0o700); err != nil {
		return err
	}
	f.f, err = os.OpenFile(f.o.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no file")
	}
	if err := f.f.Chmod(0o600); err != nil {
		return err
	}
	f.size, f.last = info.Size(), fileLine{}
	if err := f.settle(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.o.Path))
}

// settle cuts off a line that a crash left torn, which was not acknowledged, and
// reads the last whole one, be it in the last full file. What is no line of ours
// stays.
func (f *File) settle() error {
	line, torn, err := lastLine(f.f, f.size)
	if err == nil && torn > 0 {
		f.size -= torn
		err = f.f.Truncate(f.size)
	}
	if err == nil && f.size == 0 {
		line, err = f.lastFull()
	}
	_ = json.Unmarshal(line, &f.last)
	return err
}

// lastLine returns the last whole line of a file, and how many bytes of a torn one
// are behind it.
func lastLine(r io.ReaderAt, size int64) (line []byte, torn int64, err error) {
	tail := make([]byte, min(size, tailSize))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	if whole < len(tail) && (whole > 0 || size <= tailSize) {
		torn = int64(len(tail) - whole)
	}
	if whole == 0 {
		return nil, torn, nil
	}
	line = tail[:whole-1]
	return line[bytes.LastIndexByte(line, '\n')+1:], torn, nil
}

// lastFull returns the last line of the newest full file; nil: there is none.
func (f *File) lastFull() ([]byte, error) {
	full, err := f.full()
	if err != nil || len(full) == 0 {
		return nil, err
	}
	r, err := os.Open(full[len(full)-1])
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	info, err := r.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	line, _, err := lastLine(r, info.Size())
	return line, err
}

// write appends entries. A line is not torn apart by the end of a file.
func (f *File) write(lines []audit.Line) error {
	var buf bytes.Buffer
	for i := range lines {
		e, ok := lines[i].Entry()
		if !ok {
			continue // retention removed it
		}
		line := fileLine{e, lines[i].Hash}
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if size := f.size + int64(buf.Len()); f.o.MaxSize > 0 && size > 0 && size+int64(len(text)) >= f.o.MaxSize {
			if err := f.flush(&buf); err != nil {
				return err
			}
			if err := f.rotate(); err != nil {
				return err
			}
		}
		buf.Write(append(text, '\n'))
		f.last = line
	}
	return f.flush(&buf)
}

func (f *File) flush(buf *bytes.Buffer) error {
	n, err := f.f.Write(buf.Bytes())
	f.size += int64(n)
	buf.Reset()
	return err
}

// rotate gives the file its final name, begins another one, and removes those that
// are too many.
func (f *File) rotate() error {
	var sync error
	if !f.o.NoSync {
		sync = f.f.Sync()
	}
	if err := errors.Join(sync, f.Close()); err != nil {
		return err
	}
	full := fmt.Sprintf("%s.%020d", f.o.Path, f.last.Pos)
	if _, err := os.Lstat(full); !errors.Is(err, fs.ErrNotExist) {
		full += "." + f.now().UTC().Format("20060102T150405.000000000")
	}
	if err := os.Rename(f.o.Path, full); err != nil {
		return err
	}
	if err := f.open(); err != nil {
		return err
	}
	return f.prune()
}

// prune removes the oldest full files that are too many.
func (f *File) prune() error {
	full, err := f.full()
	for err == nil && f.o.MaxFiles > 0 && len(full) > f.o.MaxFiles {
		err = os.Remove(full[0])
		full = full[1:]
	}
	return err
}

// full lists the full files, the oldest first.
func (f *File) full() (all []string, err error) {
	dir, name := filepath.Split(f.o.Path)
	entries, err := os.ReadDir(dir) // sorted
	for _, e := range entries {
		if ending, ok := strings.CutPrefix(e.Name(), name+"."); ok && fullEnding.MatchString(ending) {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	return all, err
}

// fullEnding is the last place, and the time if there were two such files.
var fullEnding = regexp.MustCompile(`^[0-9]{20}(\.[0-9]{8}T[0-9]{6}\.[0-9]{9})?$`)

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
