package ova

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// Layout says where the members of an archive lie, and what every byte of it is:
// the hashes of the members' content, and one of all that is around them.
type Layout struct {
	Size    int64 // of the archive
	Members []Placed
	// Frame is the SHA-256 of the archive without the content of its members: the
	// tar headers, the padding and the end mark, one after the other.
	Frame string
}

// Placed is a member with the place of its content.
type Placed struct {
	File

	Offset int64
}

// Layout returns what Finish with the same nvram makes of the archive. It reads
// nothing back: all hashes are those of what was given to the object.
func (w *Writer) Layout(nvram []byte) (Layout, error) {
	nv := w.machine.nvram(nvram)
	files := w.machine.packageFiles(pad(w.machine.descriptor(nv), w.slot), nv)
	if !w.machine.Bare {
		files = append(files, fileOf(w.machine.ManifestFile(), formatManifest(files)))
	}
	var l Layout
	frame := sha256.New()
	for _, f := range files {
		header, err := tarHeader(f.Name, f.Size, w.machine.Time)
		if err != nil {
			return Layout{}, err
		}
		_, _ = frame.Write(header)
		l.Members = append(l.Members, Placed{f, l.Size + tarBlock})
		l.Size += tarBlock + roundUp(f.Size)
		_, _ = frame.Write(make([]byte, roundUp(f.Size)-f.Size))
	}
	_, _ = frame.Write(make([]byte, tarTrailer))
	l.Size += tarTrailer
	l.Frame = hex.EncodeToString(frame.Sum(nil))
	return l, nil
}

// Covers compares the manifest with hashes of all members, in hex by name. Kinds
// as Verify's: it reads no content.
func (p *Package) Covers(sums map[string]string) error {
	covered, err := p.covered()
	if err != nil {
		return err
	}
	for _, m := range covered {
		want := p.sums[m.Name]
		if want.algorithm != "SHA256" {
			return noProof("the manifest uses " + want.algorithm)
		}
		got, err := hex.DecodeString(sums[m.Name])
		if err != nil || !bytes.Equal(got, want.digest) {
			return corrupt(codeChecksum, "%q is not what the manifest says: SHA256 %s, not %x", m.Name, sums[m.Name], want.digest)
		}
	}
	return nil
}
