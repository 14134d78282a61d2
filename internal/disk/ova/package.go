package ova

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Package is an OVF package opened for reading. Everything in it was checked as
// far as that goes without reading the disks: names, sizes, references. Verify
// checks the content.
type Package struct {
	Name     string // of the VM
	Disks    []PackedDisk
	Files    []Member // in package order: descriptor first
	Manifest bool     // there is a manifest; without one Verify proves nothing

	sums    map[string]sum
	closers []io.Closer
}

// PackedDisk is a disk of a package, in the order of the descriptor.
type PackedDisk struct {
	ID       string
	File     string            // empty: a disk without content
	Capacity int64             // virtual size in bytes, as the descriptor says
	Content  *io.SectionReader // the file, e.g. for a VMDK reader; nil without content
}

// Member is a file of a package. Content.ReadAt may be used concurrently.
type Member struct {
	Name    string
	Content *io.SectionReader
}

// Close frees the files of a folder. Idempotent.
func (p *Package) Close() error {
	var errs []error
	for _, c := range p.closers {
		errs = append(errs, c.Close())
	}
	p.closers = nil
	return errors.Join(errs...)
}

func (p *Package) member(name string) *Member {
	for i := range p.Files {
		if p.Files[i].Name == name {
			return &p.Files[i]
		}
	}
	return nil
}

// companions are the names that belong to a descriptor without being listed in
// it: its manifest and the signature of that.
func companions(descriptor string) (manifest, certificate string) {
	stem := strings.TrimSuffix(descriptor, path.Ext(descriptor))
	return stem + ".mf", stem + ".cert"
}

// isDescriptor goes by the extension; some programs write it in capitals.
func isDescriptor(name string) bool { return strings.EqualFold(path.Ext(name), ".ovf") }

// link connects the disks of the descriptor with the files, checks that every
// file that is listed is there with its size, and reads the manifest.
func (p *Package) link(env *envelope) error {
	p.Name = env.name
	for _, ref := range env.files {
		m := p.member(ref.href)
		if m == nil {
			return corrupt(codeMissing, "the package does not hold the file %q of its descriptor", ref.href)
		}
		if ref.size >= 0 && ref.size != m.Content.Size() {
			return corrupt(codeMissing, "the file %q has %d bytes, its descriptor says %d", ref.href, m.Content.Size(), ref.size)
		}
	}
	for _, d := range env.disks {
		disk := PackedDisk{ID: d.id, Capacity: d.capacity}
		if ref := env.file(d.fileRef); ref != nil {
			disk.File, disk.Content = ref.href, p.member(ref.href).Content
		}
		p.Disks = append(p.Disks, disk)
	}
	return p.readManifest()
}

func (p *Package) readManifest() error {
	name, _ := companions(p.Files[0].Name)
	m := p.member(name)
	if m == nil {
		return nil
	}
	data, err := readSmall(m, maxManifest)
	if err != nil {
		return err
	}
	p.sums, err = parseManifest(data)
	p.Manifest = err == nil
	return err
}

// readDescriptor reads the first file.
func (p *Package) readDescriptor() (*envelope, error) {
	data, err := readSmall(&p.Files[0], maxDescriptor)
	if err != nil {
		return nil, err
	}
	return parseDescriptor(data)
}

// readSmall reads a file whole that may not be longer than limit.
func readSmall(m *Member, limit int64) ([]byte, error) {
	if m.Content.Size() > limit {
		return nil, corrupt(codeMember, "the file %q is longer than %d bytes", m.Name, limit)
	}
	data := make([]byte, m.Content.Size())
	if _, err := m.Content.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %q: %w", m.Name, err)
	}
	return data, nil
}
