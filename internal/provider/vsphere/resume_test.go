package vsphere_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// frozenContent is a disk as the job's snapshot holds it.
func (r *rig) frozenContent() *vcsim.Content {
	r.t.Helper()
	c, err := r.server.FrozenDisk(r.path, "hypervisord-0199-job", 2000)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) guestWrites() {
	r.t.Helper()
	for off := int64(0); off < 24*mib; off += 5*mib + 4096 {
		if err := r.server.GuestWrite(r.path, 2000, off, bytes.Repeat([]byte{0xAB}, 70_000)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// What the guest writes after the snapshot is not in the export.
func TestFrozenWhileTheGuestWrites(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{provider.TransportRange, provider.TransportNFC} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, single, one(true, true), nil, vsphere.Observer{})
			before, err := disk.Measure(t.Context(), contentSource{r.content("2000")}, nil)
			if err != nil {
				t.Fatal(err)
			}
			z := r.open(transport)
			r.guestWrites()
			src := r.disk(z, "2000")
			for range 2 {
				got, err := disk.Measure(t.Context(), src, nil)
				if err != nil {
					t.Fatal(fault.Detail(err))
				}
				if got.Root != before.Root {
					t.Error("the export is not what was frozen")
				}
				r.guestWrites()
			}
			if now, err := disk.Measure(t.Context(), contentSource{r.content("2000")}, nil); err != nil || now.Root == before.Root {
				t.Fatalf("the guest wrote nothing: the test proves nothing (%v)", err)
			}
			r.close(z)
			r.clean()
		})
	}
}

// After a crash another process continues with the same content, at any offset.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{provider.TransportRange, provider.TransportNFC} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, single, one(true, true), nil, vsphere.Observer{})
			z := r.open(transport)
			id := r.disk(z, "2000").Info().Identity
			token := z.Token()
			if err := z.Detach(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.guestWrites()

			r.p = connect(t, config(t, r.server), vsphere.Observer{}) // another process
			o := r.options(transport)
			o.Resume = token
			z, err := r.p.Open(t.Context(), r.vm, o)
			if err != nil {
				t.Fatal(fault.Detail(err))
			}
			src := r.disk(z, "2000")
			if src.Info().Identity != id {
				t.Errorf("identity %q, before %q", src.Info().Identity, id)
			}
			for _, from := range []int64{0, disk.GrainSize, 9*mib + 3*disk.GrainSize, 24 * mib, 24*mib + disk.GrainSize} {
				if from > src.Info().Size {
					continue
				}
				if _, err := compare(t.Context(), src, r.frozenContent(), from); err != nil {
					t.Errorf("from %d: %v", from, fault.Detail(err))
				}
			}
			r.close(z)
			r.clean()
		})
	}
}

// A token is good for its own VM and vCenter, while the snapshot stands.
func TestResumeRefuses(t *testing.T) {
	t.Parallel()
	o := one(true, false)
	o.VMs = append(o.VMs, tiny("other"))
	r := newRig(t, single, o, nil, vsphere.Observer{})
	z := r.open("")
	token := z.Token()
	try := func(name string, vm provider.VM, token []byte) {
		t.Helper()
		o := r.options("")
		o.Resume = token
		_, err := r.p.Open(t.Context(), vm, o)
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := r.p.Find(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	try("another VM", other, token)
	try("garbage", r.vm, []byte("{"))
	try("empty", r.vm, []byte("{}"))
	try("another nonce", r.vm, bytes.Replace(token, []byte(`"nonce":"`), []byte(`"nonce":"x`), 1))
	try("another vCenter", r.vm, bytes.Replace(token, []byte(`"vcenter":"`), []byte(`"vcenter":"x`), 1))
	r.close(z)
	try("removed", r.vm, token)
	r.clean()

	cold, err := r.p.Open(t.Context(), other, r.options(provider.TransportNFC))
	if err != nil {
		t.Fatal(err)
	}
	token = cold.Token()
	if err := cold.Detach(t.Context()); err != nil {
		t.Error(err)
	}
	r.clean() // a lock does not outlive the process
	try("a lock", other, token)
}

// The janitor removes what a crash left, as often as it is asked.
func TestSettleAfterACrash(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{provider.TransportRange, provider.TransportNFC} {
		for _, on := range []bool{true, false} {
			r := newRig(t, single, one(on, false), nil, vsphere.Observer{})
			z := r.open(transport)
			for _, err := range r.disk(z, "2000").Blocks(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			// The process is gone: nobody closes z. (A lock has its keep-alive,
			// which ends when vCenter says that the lease is no more.)
			if len(r.server.Leftovers()) == 0 {
				t.Error("nothing is left: the test proves nothing")
			}
			janitor := connect(t, config(t, r.server), vsphere.Observer{})
			for range 2 {
				for _, e := range r.ledger.entries() {
					if err := janitor.Settle(t.Context(), e); err != nil {
						t.Errorf("%s %v: %v", transport, on, fault.Detail(err))
					}
				}
			}
			if left := r.server.Leftovers(); transport == provider.TransportRange || on {
				if len(left) > 0 {
					t.Errorf("%s %v: left %v", transport, on, left)
				}
			}
			r.close(z)
			r.clean()
		}
	}
}

// A crash before the MoRef was recorded leaves an entry with only the name.
func TestSettleByName(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	stuck := &stubborn{ledger: r.ledger}
	o := r.options("")
	o.Ledger = stuck
	if _, err := r.p.Open(t.Context(), r.vm, o); err != nil {
		t.Fatal(err)
	}
	entries := r.ledger.entries()
	if len(entries) != 1 || strings.Contains(entries[0].Ref, `"snapshot":`) || len(r.server.Leftovers()) != 1 {
		t.Fatalf("the test proves nothing: %v, %v", entries, r.server.Leftovers())
	}
	if err := r.p.Settle(t.Context(), entries[0]); err != nil {
		t.Error(fault.Detail(err))
	}
	if left := r.server.Leftovers(); len(left) > 0 {
		t.Error(left)
	}
	for _, e := range []provider.LedgerEntry{{Kind: "snapshot", Ref: "{"}, {Kind: "snapshot", Ref: "{}"}, {Kind: "lease", Ref: ""}, {Kind: "thing"}} {
		wantKind(t, r.p.Settle(t.Context(), e), fault.Unprocessable)
	}
}

// stubborn is a ledger of a process that died before it could amend an entry.
type stubborn struct{ *ledger }

func (*stubborn) Amend(context.Context, string, string) error { return nil }

// contentSource reads a disk of the simulator as a source, to have its digest.
type contentSource struct{ c *vcsim.Content }

func (s contentSource) Info() disk.Info { return disk.Info{Key: "2000", Size: s.c.Size()} }
func (contentSource) Close() error      { return nil }

func (s contentSource) Blocks(_ context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		for off := from; off < s.c.Size(); off += disk.GrainSize {
			p := make([]byte, min(disk.GrainSize, s.c.Size()-off))
			if _, err := s.c.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
				yield(disk.Block{}, err)
				return
			}
			if !yield(disk.NewBlock(off, int64(len(p)), disk.Raw, p, nil), nil) {
				return
			}
		}
	}
}
