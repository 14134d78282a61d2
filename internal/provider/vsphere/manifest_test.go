package vsphere

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"testing"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func quiet() *Provider { return &Provider{log: slog.New(slog.DiscardHandler), observer: &Observer{}} }

// The manifest is compared as far as the host states something.
func TestManifest(t *testing.T) {
	t.Parallel()
	const content = "what was sent"
	sum1, sum256 := sha1.Sum([]byte(content)), sha256.Sum256([]byte(content))
	one, two := hex.EncodeToString(sum1[:]), hex.EncodeToString(sum256[:])
	type entry = types.HttpNfcLeaseManifestEntry
	for _, c := range []struct {
		name   string
		can256 bool
		entry  entry
		err    error
		origin string // algorithm
		kind   fault.Kind
	}{
		{name: "SHA-1", entry: entry{Key: "k", Sha1: one, Size: int64(len(content))}, origin: "sha1"},
		{name: "SHA-256", can256: true, entry: entry{Key: "k", Sha1: one, Checksum: two, ChecksumType: "sha256"}, origin: "sha256"},
		{name: "wrong SHA-1", entry: entry{Key: "k", Sha1: two[:40]}, kind: fault.Corrupt},
		{name: "wrong SHA-256", can256: true, entry: entry{Key: "k", Sha1: one, Checksum: one + one[:24], ChecksumType: "sha256"}, kind: fault.Corrupt},
		{name: "wrong size", entry: entry{Key: "k", Sha1: one, Size: 1}, kind: fault.Corrupt},
		{name: "promised SHA-256 and states SHA-1", can256: true, entry: entry{Key: "k", Sha1: one}},
		{name: "another disk", entry: entry{Key: "other", Sha1: two}},
		{name: "no statement", entry: entry{Key: "k"}},
		{name: "not implemented", err: soapFault(types.NotSupported{})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			vcenter := answers(func(_, res soap.HasFault) error {
				switch r := res.(type) {
				case *methods.HttpNfcLeaseSetManifestChecksumTypeBody:
					if !c.can256 {
						return soapFault(types.NotSupported{})
					}
					r.Res = &types.HttpNfcLeaseSetManifestChecksumTypeResponse{}
				case *methods.HttpNfcLeaseGetManifestBody:
					if c.err != nil {
						return c.err
					}
					r.Res = &types.HttpNfcLeaseGetManifestResponse{Returnval: []entry{c.entry}}
				}
				return nil
			})
			l := &lease{client: &vim25.Client{RoundTripper: vcenter}}
			s := &nfcSource{frozen: &frozen{Provider: quiet()}, volume: &volume{}}
			in := &meter{source: s, algorithm: l.checksum(t.Context(), "k"), bytes: int64(len(content))}
			in.sum = newHash(in.algorithm)
			in.sum.Write([]byte(content))
			err := s.compare(t.Context(), l, "k", in)
			if c.kind != 0 && !fault.Is(err, c.kind) || c.kind == 0 && err != nil {
				t.Errorf("error %v", err)
			}
			if o := s.Origin(); (o == nil) != (c.origin == "") || o != nil && o.Algorithm != c.origin {
				t.Errorf("origin %+v, want %q", o, c.origin)
			}
		})
	}
}

// Disks that need it are consolidated; that vCenter cannot is no error.
func TestConsolidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		needed, fail bool
		want         int
	}{{"needed", true, false, 1}, {"not needed", false, false, 0}, {"fails", true, true, 1}} {
		asked := 0
		vm := types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-1"}
		vcenter := answers(func(req, res soap.HasFault) error {
			switch r := res.(type) {
			case *methods.RetrievePropertiesExBody:
				spec := req.(*methods.RetrievePropertiesExBody).Req.SpecSet[0]
				r.Res = &types.RetrievePropertiesExResponse{Returnval: &types.RetrieveResult{
					Objects: []types.ObjectContent{state(spec.ObjectSet[0].Obj, c.needed)},
				}}
			case *methods.ConsolidateVMDisks_TaskBody:
				asked++
				if c.fail {
					return errors.New("cannot")
				}
				r.Res = &types.ConsolidateVMDisks_TaskResponse{Returnval: types.ManagedObjectReference{Type: "Task", Value: "task-1"}}
			}
			return nil
		})
		quiet().consolidate(t.Context(), &vim25.Client{RoundTripper: vcenter}, vm)
		if asked != c.want {
			t.Errorf("%s: asked %d times", c.name, asked)
		}
	}
}

func state(ref types.ManagedObjectReference, needed bool) types.ObjectContent {
	o := types.ObjectContent{Obj: ref, PropSet: []types.DynamicProperty{
		{Name: "name", Val: "x"}, {Name: "runtime.consolidationNeeded", Val: needed},
	}}
	if ref.Type == "Task" {
		o.PropSet = []types.DynamicProperty{{Name: "info", Val: types.TaskInfo{State: types.TaskInfoStateSuccess}}}
	}
	return o
}
