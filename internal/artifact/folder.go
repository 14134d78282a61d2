package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// Folder is a published export in a local directory. Names that a receipt gives
// cannot lead out of it.
type Folder struct{ root *os.Root }

// OpenFolder opens the directory of an export. path may also name a file in it.
// Kind NotFound.
func OpenFolder(path string) (*Folder, error) {
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		path = filepath.Dir(path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "HX-CLI-006", "there is no export at "+path, "name the directory that holds receipt.json")
	}
	return &Folder{root: root}, nil
}

// Close frees the directory.
func (f *Folder) Close() error { return f.root.Close() }

// Open opens a regular file of the export. Kind NotFound, Corrupt.
func (f *Folder) Open(name string) (sink.ReadFile, error) {
	file, err := f.root.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.NotFound, "HX-VERIFY-011", "the file "+name+" of the export is missing", "restore it, or export again")
	case err != nil:
		return nil, fault.Wrap(err, fault.Corrupt, "HX-VERIFY-012", "the file "+name+" of the export cannot be opened", "check its permissions, and that it is no link")
	}
	st, err := file.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fault.New(fault.Corrupt, "HX-VERIFY-012", name+" is not a regular file", "restore it, or export again")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &folderFile{File: file, size: st.Size()}, nil
}

// folderFile keeps the *os.File visible, so that holes can be skipped.
type folderFile struct {
	*os.File
	size int64
}

func (f *folderFile) Size() int64 { return f.size }

// checkPackage compares an OVF folder with its own manifest. Kind Corrupt.
func (f *Folder) checkPackage(ctx context.Context) error {
	p, err := ova.OpenFolder(f.root.FS())
	if err != nil {
		return err
	}
	return errors.Join(p.Verify(ctx), p.Close())
}

// receipt reads the export's receipt file.
func (f *Folder) receipt() ([]byte, error) {
	file, err := f.Open(receipt.FileName)
	if err != nil {
		return nil, err
	}
	if file.Size() > receipt.MaxSize {
		return nil, errors.Join(fault.New(fault.Corrupt, "HX-VERIFY-013", "the receipt is too large to be one", "take it from the daemon"), file.Close())
	}
	text := make([]byte, file.Size())
	if _, err := file.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("receipt: %w", err), file.Close())
	}
	return text, file.Close()
}
