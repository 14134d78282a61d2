package ova

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxTrailer bounds the zeros after the last member: tar programs fill up to
// their record size.
const maxTrailer = 1 << 20

// OpenOVA opens an archive of size bytes. It reads the tar headers, the
// descriptor and the manifest, and accepts only what a package can hold: the
// descriptor first, regular files with plain and unique names that the
// descriptor lists, at most 64 of them, and zeros to the end. It closes nothing
// of r. Kind Corrupt: damaged or hostile. Kind Unprocessable: legal, but not
// supported.
func OpenOVA(r io.ReaderAt, size int64) (*Package, error) {
	p := &Package{}
	if err := p.readMembers(r, size); err != nil {
		return nil, err
	}
	env, err := p.readDescriptor()
	if err != nil {
		return nil, err
	}
	if err := p.onlyListed(env); err != nil {
		return nil, err
	}
	if err := p.link(env); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Package) readMembers(r io.ReaderAt, size int64) error {
	section := io.NewSectionReader(r, 0, size)
	reader := tar.NewReader(section)
	var end int64
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return tarError(err, end)
		}
		// archive/tar does not read ahead: the content begins here.
		off, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return fmt.Errorf("position in the archive: %w", err)
		}
		if err := p.admit(h); err != nil {
			return err
		}
		if h.Size > size-off {
			return corrupt(codeTar, "the archive ends within %q", h.Name)
		}
		p.Files = append(p.Files, Member{Name: h.Name, Content: io.NewSectionReader(r, off, h.Size)})
		end = off + roundUp(h.Size)
	}
	if len(p.Files) == 0 {
		return corrupt(codeTar, "the archive is empty")
	}
	return checkTrailer(r, end, size)
}

// tarError tells a damaged archive from one that cannot be read.
func tarError(err error, end int64) error {
	for _, damage := range []error{tar.ErrHeader, tar.ErrFieldTooLong, tar.ErrInsecurePath, io.ErrUnexpectedEOF} {
		if errors.Is(err, damage) {
			return fault.Wrap(err, fault.Corrupt, codeTar,
				fmt.Sprintf("this is no tar archive, or a damaged one, from byte %d on", end), fixDamaged)
		}
	}
	return fmt.Errorf("read the archive behind byte %d: %w", end, err)
}

// admit checks a header against what a package can hold.
func (p *Package) admit(h *tar.Header) error {
	switch {
	case len(p.Files) == maxMembers:
		return unexpected("the archive has more than %d members", maxMembers)
	case h.Format == tar.FormatPAX || len(h.PAXRecords) > 0:
		return foreign("the member %.100q has a PAX header, which OVF does not allow", h.Name)
	case h.Typeflag != tar.TypeReg:
		return unexpected("the member %.100q is not a regular file (type %q)", h.Name, h.Typeflag)
	case !plainName(h.Name):
		return unexpected("the member %.100q does not have a plain file name", h.Name)
	case h.Size < 0:
		return corrupt(codeTar, "the member %q has the size %d", h.Name, h.Size)
	case p.member(h.Name) != nil:
		return unexpected("the archive has two members %q", h.Name)
	case isDescriptor(h.Name) != (len(p.Files) == 0):
		return unexpected("the member %q: an archive has one descriptor, and it is the first member", h.Name)
	}
	return nil
}

// onlyListed refuses members that nothing refers to.
func (p *Package) onlyListed(env *envelope) error {
	listed := map[string]bool{}
	for _, f := range env.files {
		listed[f.href] = true
	}
	manifest, certificate := companions(p.Files[0].Name)
	for _, m := range p.Files[1:] {
		if !listed[m.Name] && m.Name != manifest && m.Name != certificate {
			return unexpected("the member %q is not listed in the descriptor", m.Name)
		}
	}
	return nil
}

// checkTrailer wants the two zero blocks that end an archive, so that a cut one
// is noticed, and nothing hidden behind them.
func checkTrailer(r io.ReaderAt, end, size int64) error {
	rest := size - end
	if rest < tarTrailer {
		return corrupt(codeTar, "the archive has no end mark: it was cut")
	}
	if rest > maxTrailer {
		return unexpected("%d bytes follow the last member", rest)
	}
	tail := make([]byte, rest)
	if _, err := r.ReadAt(tail, end); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the end of the archive: %w", err)
	}
	if len(bytes.Trim(tail, "\x00")) > 0 {
		return unexpected("the archive goes on behind its end mark")
	}
	return nil
}
