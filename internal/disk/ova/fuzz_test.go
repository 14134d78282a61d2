package ova

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// known fails unless an error of a reader over memory is classified.
func known(t *testing.T, err error) {
	t.Helper()
	if k := fault.KindOf(err); err != nil && k != fault.Corrupt && k != fault.Unprocessable {
		t.Fatalf("%v: %s", k, fault.Detail(err))
	}
}

// FuzzDescriptor: no panic, every error has a kind, and what is accepted keeps
// the promises of envelope.
func FuzzDescriptor(f *testing.F) {
	goldens, err := filepath.Glob("testdata/*.ovf")
	if err != nil || len(goldens) == 0 {
		f.Fatal("no golden descriptors", err)
	}
	for _, name := range goldens {
		f.Add(must1(os.ReadFile(name))(f))
	}
	f.Add([]byte(envelopeXML(oneRef, oneDisk)))
	f.Add([]byte(nest(10)))
	f.Fuzz(func(t *testing.T, data []byte) {
		env, err := parseDescriptor(data)
		known(t, err)
		if err != nil {
			return
		}
		for _, ref := range env.files {
			if !plainName(ref.href) || ref.size < -1 || env.file(ref.id).href != ref.href {
				t.Fatalf("%+v", ref)
			}
		}
		for _, d := range env.disks {
			if d.capacity < 0 || d.fileRef != "" && env.file(d.fileRef) == nil {
				t.Fatalf("%+v", d)
			}
		}
	})
}

// FuzzManifest: what is accepted is written and read again the same.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(sane()[2].data))
	f.Add([]byte("SHA256 (a)(b) = 00\r\n"))
	f.Add([]byte("SHA1(a)=\tda39a3ee5e6b4b0d3255bfef95601890afd80709"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := parseManifest(data)
		known(t, err)
		for name, s := range sums {
			if !plainName(name) || len(s.digest) != algorithms[s.algorithm].size {
				t.Fatalf("%q %+v", name, s)
			}
		}
	})
}

// FuzzArchive: no panic, no reading out of bounds, every error has a kind, and
// members lie within the archive without touching each other.
func FuzzArchive(f *testing.F) {
	for _, c := range crafted(f) {
		if len(c.data) < 1<<16 {
			f.Add(c.data)
		}
	}
	f.Add(pack(f, sane()))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := OpenOVA(bytes.NewReader(data), int64(len(data)))
		known(t, err)
		if err != nil {
			return
		}
		known(t, p.Verify(t.Context()))
		last := int64(0)
		for _, m := range p.Files {
			_, off, size := m.Content.Outer()
			if off < last+tarBlock || size < 0 || off+size > int64(len(data)) || !plainName(m.Name) {
				t.Fatalf("%q: %d bytes at %d, after %d", m.Name, size, off, last)
			}
			last = off + size
			if n, err := io.Copy(io.Discard, m.Content); err != nil || n != size {
				t.Fatalf("%q: %d of %d bytes: %v", m.Name, n, size, err)
			}
		}
	})
}
