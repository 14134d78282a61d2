package ova

import (
	"bytes"
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// hashBuffer is what one hashing goroutine holds.
const hashBuffer = 1 << 20

// Verify reads every file and compares it with the manifest, as many at once as
// there are cores. Kind Corrupt: a file differs, or the manifest does not cover
// the package exactly. Kind Unprocessable: there is no manifest, or only SHA-1.
func (p *Package) Verify(ctx context.Context) error {
	covered, err := p.covered()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, m := range covered {
		g.Go(func() error { return fault.Protect(func() error { return verifyMember(ctx, m, p.sums[m.Name]) }) })
	}
	return g.Wait()
}

// covered lists the files that the manifest must cover: all but itself and its
// certificate.
func (p *Package) covered() ([]Member, error) {
	if !p.Manifest {
		return nil, noProof("the package has no manifest")
	}
	manifest, certificate := companions(p.Files[0].Name)
	var members []Member
	for _, m := range p.Files {
		if m.Name == manifest || m.Name == certificate {
			continue
		}
		s, ok := p.sums[m.Name]
		if !ok {
			return nil, corrupt(codeManifest, "the manifest does not cover %q", m.Name)
		}
		if algorithms[s.algorithm].new == nil {
			return nil, noProof("the manifest uses " + s.algorithm + ", which can be forged")
		}
		members = append(members, m)
	}
	if len(members) != len(p.sums) {
		return nil, corrupt(codeManifest, "the manifest covers files that the package does not hold")
	}
	return members, nil
}

func noProof(msg string) error {
	return fault.New(fault.Unprocessable, codeNoProof, msg+": its content cannot be verified",
		"compare the disks with the source or with an export receipt")
}

func verifyMember(ctx context.Context, m Member, want sum) error {
	h := algorithms[want.algorithm].new()
	buf := make([]byte, min(hashBuffer, m.Content.Size()))
	for off := int64(0); off < m.Content.Size(); {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verify %q: %w", m.Name, err)
		}
		part := buf[:min(hashBuffer, m.Content.Size()-off)]
		if n, err := m.Content.ReadAt(part, off); n < len(part) {
			return fmt.Errorf("read %q at byte %d: %w", m.Name, off+int64(n), err)
		}
		h.Write(part)
		off += int64(len(part))
	}
	if got := h.Sum(nil); !bytes.Equal(got, want.digest) {
		return corrupt(codeChecksum, "%q is not what the manifest says: %s %x, not %x", m.Name, want.algorithm, got, want.digest)
	}
	return nil
}
