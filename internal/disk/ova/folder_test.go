package ova

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func folderOf(entries []entry) fstest.MapFS {
	m := fstest.MapFS{}
	for _, e := range entries {
		m[e.h.Name] = &fstest.MapFile{Data: []byte(e.data)}
	}
	return m
}

// TestHostileFolders: what an archive is refused for, a folder is, too, as far
// as it applies.
func TestHostileFolders(t *testing.T) {
	p := must1(OpenFolder(folderOf(plus(file("notes.txt", "x")))))(t)
	must(t, p.Verify(t.Context()))
	crowd := folderOf(sane())
	for i := range maxEntries {
		crowd[fmt.Sprint("n", i)] = &fstest.MapFile{}
	}
	cases := map[string]struct {
		fsys fs.FS
		code string
	}{
		"empty":                  {fstest.MapFS{}, codeMissing},
		"two descriptors":        {folderOf(plus(file("y.ovf", "x"))), codeMember},
		"crowd":                  {crowd, codeMember},
		"disk missing":           {folderOf(sane()[:1]), codeMissing},
		"href with path":         {folderOf(with(envelopeXML(`<File ovf:href="../d.vmdk" ovf:id="f"/>`, ""))), codeMember},
		"lists its descriptor":   {folderOf(with(envelopeXML(`<File ovf:href="x.ovf" ovf:id="f"/>`, ""))), codeMember},
		"lists its manifest":     {folderOf(with(envelopeXML(`<File ovf:href="x.mf" ovf:id="f"/>`, ""))), codeMember},
		"bad descriptor":         {folderOf(with("<")), codeXML},
		"bad manifest":           {folderOf(change(2, func(e *entry) { e.data = "x" })), codeManifest},
		"descriptor is a folder": {fstest.MapFS{"x.ovf/y": &fstest.MapFile{}}, codeMember},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := OpenFolder(c.fsys)
			wantFault(t, err, fault.Corrupt, c.code)
		})
	}
}

// TestFolderTypes: links and pipes in place of the disk are refused, without
// opening them (a pipe would block), and nothing outside of the root is read.
func TestFolderTypes(t *testing.T) {
	for name, place := range map[string]func(path string) error{
		"link out":   func(p string) error { return os.Symlink("/etc/passwd", p) },
		"link in":    func(p string) error { return os.Symlink("x.ovf", p) },
		"named pipe": func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"folder":     func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "x.ovf"), []byte(sane()[0].data), 0o600))
			must(t, place(filepath.Join(dir, "d.vmdk")))
			root := must1(os.OpenRoot(dir))(t)
			defer root.Close()
			_, err := OpenFolder(root.FS())
			wantFault(t, err, fault.Corrupt, codeMember)
		})
	}
}

// failing is a file system on which a call fails.
type failing struct {
	fstest.MapFS
	call, name string
}

var errDisk = errors.New("disk error")

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if f.call == "list" {
		return nil, errDisk
	}
	return f.MapFS.ReadDir(name)
}

func (f failing) Lstat(name string) (fs.FileInfo, error) {
	if f.call == "lstat" && f.name == name {
		return nil, errDisk
	}
	return f.MapFS.Lstat(name)
}

func (f failing) Open(name string) (fs.File, error) {
	if f.call == "open" && f.name == name {
		return nil, errDisk
	}
	return f.MapFS.Open(name)
}

// TestFolderErrors: errors of the file system are not taken for damage.
func TestFolderErrors(t *testing.T) {
	for _, f := range []failing{{call: "list"}, {call: "lstat", name: "d.vmdk"}, {call: "open", name: "d.vmdk"}, {call: "open", name: "x.mf"}, {call: "open", name: "x.ovf"}} {
		f.MapFS = folderOf(sane())
		if _, err := OpenFolder(f); !errors.Is(err, errDisk) || fault.KindOf(err) != fault.Internal {
			t.Errorf("%s %s: %v", f.call, f.name, err)
		}
	}
}
