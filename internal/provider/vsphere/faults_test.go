package vsphere_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

const single = "/DC/vm/single"

// one is a machine with one disk that needs several requests.
func one(on, cbt bool) vcsim.Options {
	return vcsim.Options{VMs: []vcsim.VM{{Path: "single", On: on, CBT: cbt, Disks: []vcsim.Disk{{Size: 24*mib + 512, Fill: data(5)}}}}}
}

// impatient shortens the idle time-out where a fault waits for it. One that
// passes must not meet others: a loaded machine can be slow to answer, too.
func impatient(f vcsim.Fault) func(*vsphere.Config) {
	return func(c *vsphere.Config) {
		switch {
		case f.Kind == vcsim.Stall && f.Times > 0:
			c.IdleTimeout = 3 * time.Second
		case f.Kind == vcsim.Stall:
			c.IdleTimeout = 300 * time.Millisecond
		}
	}
}

// What passes is waited out: the content is right, and nobody notices.
func TestTransientFaultsOfRange(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]vcsim.Fault{
		"503s":                  {Kind: vcsim.Unavailable, Times: 3},
		"cuts":                  {Kind: vcsim.Cut, After: 300_000, Times: 5},
		"cut before the answer": {Kind: vcsim.Cut, Times: 3, Skip: 2},
		"session expires":       {Kind: vcsim.ExpireSession, Skip: 4, Times: 2},
		"stalls":                {Kind: vcsim.Stall, After: 100_000, Times: 2, Skip: 2},
		"slow":                  {Kind: vcsim.Slow, Rate: 64 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var again, moved atomic.Int64
			r := newRig(t, single, one(true, false), impatient(f), vsphere.Observer{
				Retry:       func(string) { again.Add(1) },
				Relogin:     func() { again.Add(1) },
				Transferred: func(_, _, _ string, n int64) { moved.Add(n) },
			})
			z := r.open(provider.TransportRange)
			src := r.disk(z, "2000")
			f.Transport = vcsim.Folder
			r.server.Faults().Add(f)
			if _, err := compare(t.Context(), src, r.content("2000"), 0); err != nil {
				t.Error(fault.Detail(err))
			}
			if r.server.Faults().Fired(f.Kind) == 0 {
				t.Error("the fault did not strike")
			}
			if f.Kind != vcsim.Slow && again.Load() == 0 {
				t.Error("the observer heard of no retry")
			}
			if moved.Load() != src.Info().Size {
				t.Errorf("the observer heard of %d bytes of %d", moved.Load(), src.Info().Size)
			}
			r.server.Faults().Clear()
			r.close(z)
			r.clean()
		})
	}
}

func TestTransientFaultsOfNFC(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]vcsim.Fault{
		"503s": {Kind: vcsim.Unavailable, Transport: vcsim.NFC, Times: 3},
		"slow": {Kind: vcsim.Slow, Transport: vcsim.NFC, Rate: 32 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
			z := r.open(provider.TransportNFC)
			src := r.disk(z, "2000")
			r.server.Faults().Add(f)
			if _, err := compare(t.Context(), src, r.content("2000"), 0); err != nil {
				t.Error(fault.Detail(err))
			}
			if r.server.Faults().Fired(f.Kind) == 0 {
				t.Error("the fault did not strike")
			}
			r.server.Faults().Clear()
			r.close(z)
			r.clean()
		})
	}
}

// Of the calls around a stream only the one that makes the lease may not be
// made twice; every other one survives a failure.
func TestOneSOAPCallFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	z := r.open(provider.TransportNFC)
	src := r.disk(z, "2000")
	for skip := range 6 {
		r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.SDK, Skip: skip, Times: 1})
		_, err := compare(t.Context(), src, r.content("2000"), 0)
		if skip == 0 {
			wantKind(t, err, fault.Unavailable)
		} else if err != nil {
			t.Errorf("call %d fails: %v", skip, fault.Detail(err))
		}
		r.server.Faults().Clear()
	}
	if n := r.server.Faults().Fired(vcsim.Unavailable); n < 4 {
		t.Errorf("only %d faults struck", n)
	}
	r.close(z)
	r.clean()
}

// What does not pass ends with the right kind, and leaves nothing.
func TestFatalFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		transport string
		fault     vcsim.Fault
		kinds     []fault.Kind
	}{
		{"corrupt content", provider.TransportNFC, vcsim.Fault{Kind: vcsim.CorruptContent, After: 70_000}, []fault.Kind{fault.Corrupt}},
		{"cut", provider.TransportNFC, vcsim.Fault{Kind: vcsim.Cut, After: 1 << 20}, []fault.Kind{fault.Unavailable}},
		{"stall", provider.TransportNFC, vcsim.Fault{Kind: vcsim.Stall, After: 1 << 20}, []fault.Kind{fault.Unavailable}},
		{"lease lost", provider.TransportNFC, vcsim.Fault{Kind: vcsim.LoseLease, After: 1 << 20}, []fault.Kind{fault.Unavailable}},
		{"503 for ever", provider.TransportNFC, vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.NFC}, []fault.Kind{fault.Unavailable}},
		{"503 for ever", provider.TransportRange, vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.Folder, Skip: 3}, []fault.Kind{fault.Unavailable}},
		{"stall for ever", provider.TransportRange, vcsim.Fault{Kind: vcsim.Stall, Transport: vcsim.Folder}, []fault.Kind{fault.Unavailable}},
	} {
		t.Run(c.transport+" "+c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, single, one(true, false), impatient(c.fault), vsphere.Observer{})
			z := r.open(c.transport)
			src := r.disk(z, "2000")
			r.server.Faults().Add(c.fault)
			_, err := compare(t.Context(), src, r.content("2000"), 0)
			if errors.Is(err, errDiffers) && c.fault.Kind == vcsim.CorruptContent {
				err = drain(t.Context(), src) // the consumer cannot know: the checksum at the end does
			}
			wantKind(t, err, c.kinds...)
			if checked, ok := src.(disk.Checked); ok && checked.Origin() != nil {
				t.Error("an origin is stated for what failed")
			}
			r.server.Faults().Clear()
			r.close(z)
			r.clean()
		})
	}
}

// A grain that does not inflate reaches the consumer, which is the one to
// inflate it; the source itself finds the checksum wrong at the end.
func TestCorruptGrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	z := r.open(provider.TransportNFC)
	src := r.disk(z, "2000")
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.CorruptGrain, After: 10 * mib})
	_, err := disk.Measure(t.Context(), src, nil)
	wantKind(t, err, fault.Corrupt)
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.CorruptGrain, After: 10 * mib})
	wantKind(t, drain(t.Context(), src), fault.Corrupt)
	r.server.Faults().Clear()
	r.close(z)
	r.clean()
}

func TestSnapshotFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.FailCreateSnapshot, Times: 1})
	_, err := r.p.Open(t.Context(), r.vm, r.options(""))
	wantKind(t, err, fault.Unprocessable)
	r.clean()

	z := r.open("")
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.FailRemoveSnapshot, Times: 2})
	r.close(z)
	r.clean()
	r.close(z) // idempotent
}

// A ledger that cannot be written stops the export before it begins, and what
// was made is removed.
func TestLedgerFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	r.ledger.fail = errors.New("the disk is full")
	for _, transport := range []string{"", provider.TransportNFC} {
		if _, err := r.p.Open(t.Context(), r.vm, r.options(transport)); err == nil {
			t.Error("opened without a ledger")
		}
		r.clean()
	}
}

// Cancel ends the stream and cleans up, although its context is done.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{provider.TransportRange, provider.TransportNFC} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
			z := r.open(transport)
			src := r.disk(z, "2000")
			r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Stall, Transport: vcsim.NFC, After: 500_000})
			r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Stall, Transport: vcsim.Folder, Skip: 4})
			ctx, cancel := context.WithCancel(t.Context())
			var err error
			for b, e := range src.Blocks(ctx, 0) {
				if err = e; err != nil {
					break
				}
				b.Release()
				cancel()
			}
			cancel()
			wantKind(t, err, fault.Cancelled)
			r.server.Faults().Clear()
			if err := z.Close(ctx); err != nil {
				t.Error(fault.Detail(err))
			}
			r.clean()
		})
	}
}

// A consumer that stops reading ends everything, too.
func TestBreak(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{provider.TransportRange, provider.TransportNFC} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, single, one(false, false), nil, vsphere.Observer{})
			z := r.open(transport)
			src := r.disk(z, "2000")
			for range 3 {
				for b, err := range src.Blocks(t.Context(), 0) {
					if err != nil {
						t.Error(err)
					}
					b.Release()
					break
				}
			}
			r.close(z)
			r.clean()
		})
	}
}

// Wherever a cancel hits while the VM is being frozen, nothing stays.
func TestCancelWhileOpening(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	for skip := range 9 {
		ctx, cancel := context.WithCancel(t.Context())
		r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Delay, Transport: vcsim.SDK, Skip: skip, Times: 1, Delay: 50 * time.Millisecond})
		timer := time.AfterFunc(20*time.Millisecond, cancel)
		z, err := r.p.Open(ctx, r.vm, r.options(""))
		timer.Stop()
		if err == nil {
			err = z.Close(ctx)
			if err != nil {
				t.Error(fault.Detail(err))
			}
		}
		cancel()
		r.server.Faults().Clear()
		r.clean()
	}
}

// The same at the very moments when a remote object is made.
func TestCancelAtTheLedger(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(false, false), nil, vsphere.Observer{})
	for _, c := range []struct {
		transport, step string
		inside          bool // of the call that follows
	}{
		{transport: provider.TransportRange, step: "intend snapshot"},
		{transport: provider.TransportRange, step: "intend snapshot", inside: true},
		{transport: provider.TransportRange, step: "amend"},
		{transport: provider.TransportNFC, step: "intend lease"},
		{transport: provider.TransportNFC, step: "intend lease", inside: true},
		{transport: provider.TransportNFC, step: "amend"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r.ledger.hook = func(step string) {
			switch {
			case step != c.step:
			case c.inside:
				r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Delay, Transport: vcsim.SDK, Times: 1, Delay: 200 * time.Millisecond})
				time.AfterFunc(50*time.Millisecond, cancel)
			default:
				cancel()
			}
		}
		z, err := r.p.Open(ctx, r.vm, r.options(c.transport))
		if err == nil {
			err = z.Close(ctx)
			if err != nil {
				t.Error(fault.Detail(err))
			}
		} else {
			wantKind(t, err, fault.Cancelled)
		}
		cancel()
		r.clean()
	}
}
