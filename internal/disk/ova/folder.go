package ova

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxEntries bounds the directory that is looked through for a descriptor.
const maxEntries = 4096

// OpenFolder opens a package whose files lie side by side in the root of fsys,
// normally an os.Root's FS. Only the one descriptor, the files that it lists
// and its manifest are opened; other files may lie there. Close frees them.
// Kinds: as OpenOVA.
func OpenFolder(fsys fs.FS) (*Package, error) {
	p := &Package{}
	if err := p.openFolder(fsys); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Package) openFolder(fsys fs.FS) error {
	descriptor, manifest, err := findDescriptor(fsys)
	if err != nil {
		return err
	}
	if err := p.open(fsys, descriptor); err != nil {
		return err
	}
	env, err := p.readDescriptor()
	if err != nil {
		return err
	}
	for _, f := range env.files {
		if f.href == descriptor || f.href == manifest {
			return unexpected("the descriptor lists %q, which is not content", f.href)
		}
		if err := p.open(fsys, f.href); err != nil {
			return err
		}
	}
	if manifest != "" {
		if err := p.open(fsys, manifest); err != nil {
			return err
		}
	}
	return p.link(env)
}

// findDescriptor finds the one descriptor and its manifest ("" if there is none).
func findDescriptor(fsys fs.FS) (descriptor, manifest string, err error) {
	dir, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return "", "", fmt.Errorf("list the package: %w", err)
	}
	if len(dir) > maxEntries {
		return "", "", unexpected("the folder has more than %d entries", maxEntries)
	}
	names := map[string]bool{}
	for _, e := range dir {
		names[e.Name()] = true
		if !isDescriptor(e.Name()) {
			continue
		}
		if descriptor != "" {
			return "", "", unexpected("the folder has two descriptors, %q and %q", descriptor, e.Name())
		}
		descriptor = e.Name()
	}
	if descriptor == "" {
		return "", "", corrupt(codeMissing, "the folder has no descriptor (.ovf)")
	}
	if manifest, _ = companions(descriptor); !names[manifest] {
		manifest = ""
	}
	return descriptor, manifest, nil
}

// open adds a file of the folder. It is looked at before it is opened: a named
// pipe would block.
func (p *Package) open(fsys fs.FS, name string) error {
	info, err := fs.Lstat(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return corrupt(codeMissing, "the package does not hold the file %q of its descriptor", name)
	}
	if err != nil {
		return fmt.Errorf("look at %q: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return unexpected("%q is not a regular file", name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return fmt.Errorf("open %q: %w", name, err)
	}
	p.closers = append(p.closers, f)
	if info, err = f.Stat(); err != nil {
		return fmt.Errorf("look at %q: %w", name, err)
	}
	content, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		return unexpected("%q is not a regular file", name)
	}
	p.Files = append(p.Files, Member{Name: name, Content: io.NewSectionReader(content, 0, info.Size())})
	return nil
}
