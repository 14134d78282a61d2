package vsphere_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

func TestTransportThatIsNotPossible(t *testing.T) {
	t.Parallel()
	machine := vcsim.VM{Path: "vvol", On: true, Datastore: "vvol-01", Disks: []vcsim.Disk{{Size: mib, Fill: data(1)}}}
	r := newRig(t, "/DC/vm/vvol", vcsim.Options{VMs: []vcsim.VM{machine}}, nil, vsphere.Observer{})
	z := r.open(provider.TransportRange)
	_, err := z.Disk(t.Context(), "2000")
	wantKind(t, err, fault.Unprocessable)
	if !strings.Contains(err.Error(), "VVOL") {
		t.Errorf("the error does not say why: %v", err)
	}
	_, err = z.Disk(t.Context(), "9999")
	wantKind(t, err, fault.NotFound)
	r.close(z)
	_, err = r.p.Open(t.Context(), r.vm, r.options("carrier-pigeon"))
	wantKind(t, err, fault.Invalid)
	o := r.options("")
	o.ExcludeDisks = []string{"2000"}
	_, err = r.p.Open(t.Context(), r.vm, o)
	wantKind(t, err, fault.Unprocessable)
	o.ExcludeDisks = []string{"no such disk"}
	_, err = r.p.Open(t.Context(), r.vm, o)
	wantKind(t, err, fault.Unprocessable)
	r.clean()
}

// A datastore that refuses the file is no reason to fail: there is nfc.
func TestFallsBackToNFC(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	z := r.open("")
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.Folder})
	src := r.disk(z, "2000")
	if info := src.Info(); info.Transport != provider.TransportNFC || !strings.Contains(info.Reason, "503") {
		t.Errorf("%+v", info)
	}
	if _, err := compare(t.Context(), src, r.content("2000"), 0); err != nil {
		t.Error(fault.Detail(err))
	}
	r.close(z)
	r.clean()
}

// A VM that has snapshots of its own: its content is spread over deltas. In
// whatever order the two are removed, the other one does not suffer.
func TestOlderSnapshots(t *testing.T) {
	t.Parallel()
	for _, olderFirst := range []bool{true, false} {
		r := newRig(t, single, one(true, true), nil, vsphere.Observer{})
		mine := r.options("")
		mine.JobID = "older"
		older, err := r.p.Open(t.Context(), r.vm, mine)
		if err != nil {
			t.Fatal(err)
		}
		r.guestWrites()
		z := r.open("")
		src := r.disk(z, "2000")
		if info := src.Info(); info.Transport != provider.TransportNFC || !strings.Contains(info.Reason, "older snapshots") {
			t.Errorf("%+v", info)
		}
		if vm, err := r.p.Find(t.Context(), single); err != nil || len(vm.Snapshots) != 2 {
			t.Errorf("snapshots %v, %v", vm.Snapshots, err)
		}
		if olderFirst {
			r.close(older)
		}
		if _, err := compare(t.Context(), src, r.frozenContent(), 0); err != nil {
			t.Error(fault.Detail(err))
		}
		r.close(z)
		r.close(older)
		r.clean()
	}
}

// What an earlier attempt of the same job left is in the way: it goes first.
func TestLeftoversOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	lost := r.open("")
	z := r.open("")
	if left := r.server.Leftovers(); len(left) != 1 {
		t.Errorf("snapshots: %v", left)
	}
	if info := r.disk(z, "2000").Info(); info.Transport != provider.TransportRange {
		t.Errorf("%+v", info)
	}
	r.close(z)
	r.close(lost)
	r.clean()
}

// Somebody deletes our snapshot while we read: what was read may be mixed.
func TestSnapshotIsRemovedByOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	z := r.open(provider.TransportRange)
	src := r.disk(z, "2000")
	first := true
	var err error
	for b, e := range src.Blocks(t.Context(), 0) {
		if err = e; err != nil {
			break
		}
		b.Release()
		if first {
			first = false
			for _, entry := range r.ledger.entries() {
				if err := r.p.Settle(t.Context(), entry); err != nil {
					t.Error(err)
				}
			}
		}
	}
	wantKind(t, err, fault.Conflict)
	r.close(z)
	r.clean()
}

func TestPowerOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	o := r.options(provider.TransportNFC)
	o.PowerOff = true
	z, err := r.p.Open(t.Context(), r.vm, o)
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
	if z.VM().PowerState != "off" {
		t.Errorf("the VM is %s", z.VM().PowerState)
	}
	if _, err := compare(t.Context(), r.disk(z, "2000"), r.content("2000"), 0); err != nil {
		t.Error(fault.Detail(err))
	}
	r.close(z)
	r.clean()
}

func TestWildcardHost(t *testing.T) {
	t.Parallel()
	o := one(true, false)
	o.WildcardHost = true
	for name, tweak := range map[string]func(*vsphere.Config){"CA": nil, "insecure": func(c *vsphere.Config) { c.CAFile, c.Insecure = "", true }} {
		r := newRig(t, single, o, tweak, vsphere.Observer{})
		z := r.open(provider.TransportNFC)
		if _, err := compare(t.Context(), r.disk(z, "2000"), r.content("2000"), 0); err != nil {
			t.Errorf("%s: %v", name, fault.Detail(err))
		}
		r.close(z)
		r.clean()
	}
}

func TestNVRAM(t *testing.T) {
	t.Parallel()
	machine := vcsim.VM{Path: "efi", On: true, EFI: true, Disks: []vcsim.Disk{{Size: mib, Fill: data(1)}}}
	r := newRig(t, "/DC/vm/efi", vcsim.Options{VMs: []vcsim.VM{machine}}, nil, vsphere.Observer{})
	read := func(transport string) provider.File {
		t.Helper()
		z := r.open(transport)
		defer r.close(z)
		files, err := z.Files(t.Context())
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
		if len(files) != 1 || !strings.HasSuffix(files[0].Name, ".nvram") || len(files[0].Data) == 0 {
			t.Fatalf("%d files", len(files))
		}
		return files[0]
	}
	direct := read("")
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.Folder})
	leased := read("")
	if string(leased.Data) != string(direct.Data) || leased.Name != direct.Name {
		t.Errorf("the lease gives another nvram: %d bytes %q, %d bytes %q", len(leased.Data), leased.Name, len(direct.Data), direct.Name)
	}
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.NFC})
	z := r.open("")
	_, err := z.Files(t.Context())
	wantKind(t, err, fault.Unavailable)
	r.close(z)
	r.clean()
}

// With one slot per host, the second stream waits and says so.
func TestStreamsPerHost(t *testing.T) {
	t.Parallel()
	waits := make(chan string, 8)
	var r *rig
	machine := vcsim.VM{Path: "pair", On: true, Disks: []vcsim.Disk{{Size: 2 * mib, Fill: data(1)}, {Size: 2 * mib, Fill: data(2)}}}
	r = newRig(t, "/DC/vm/pair", vcsim.Options{VMs: []vcsim.VM{machine}, StreamsPerHost: 1},
		func(c *vsphere.Config) { c.HostStreams = 1 },
		vsphere.Observer{HostWait: func(host string, waiting bool) {
			if waiting {
				waits <- host
			}
		}})
	z := r.open(provider.TransportNFC)
	first, second := r.disk(z, "2000"), r.disk(z, "2001")
	var other sync.WaitGroup
	begun := false
	for b, err := range first.Blocks(t.Context(), 0) {
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
		b.Release()
		if begun {
			continue
		}
		begun = true
		other.Go(func() {
			if _, err := compare(t.Context(), second, r.content("2001"), 0); err != nil {
				t.Error(fault.Detail(err))
			}
		})
		if host := <-waits; host != "esxi-01.lab.test" {
			t.Errorf("waits for %q", host)
		}
		if reason := second.Info().Reason; !strings.Contains(reason, "waits for a free NFC slot on host esxi-01.lab.test") {
			t.Errorf("reason %q", reason)
		}
	}
	other.Wait()
	if reason := second.Info().Reason; strings.Contains(reason, "waits") {
		t.Errorf("reason %q", reason)
	}
	r.close(z)
	r.clean()
}

// Changed block tracking saves the holes, and costs nothing else.
func TestCBTSkipsHoles(t *testing.T) {
	t.Parallel()
	for _, ignore := range []bool{false, true} {
		o := vcsim.Options{VMs: []vcsim.VM{{Path: "single", On: true, CBT: true, Disks: []vcsim.Disk{{Size: 24 * mib, Fill: sparse}}}}}
		r := newRig(t, single, o, func(c *vsphere.Config) { c.IgnoreCBT = ignore }, vsphere.Observer{})
		z := r.open("")
		src := r.disk(z, "2000")
		r.server.ResetStats()
		if _, err := compare(t.Context(), src, r.content("2000"), 0); err != nil {
			t.Error(fault.Detail(err))
		}
		for _, s := range r.server.Stats() {
			if saved := s.Bytes < 4*mib; saved == ignore || s.Again > disk.GrainSize {
				t.Errorf("ignore=%v: %+v", ignore, s)
			}
		}
		r.close(z)
		r.clean()
	}
}

// What was received before a cut is not asked for again.
func TestCutCostsLittle(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(true, false), nil, vsphere.Observer{})
	z := r.open("")
	src := r.disk(z, "2000")
	r.server.ResetStats()
	const cuts = 6
	r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Cut, Transport: vcsim.Folder, After: mib, Times: cuts})
	if _, err := compare(t.Context(), src, r.content("2000"), 0); err != nil {
		t.Error(fault.Detail(err))
	}
	// Behind each cut, what was on its way may be lost: the socket's buffers.
	for _, s := range r.server.Stats() {
		if s.Again > cuts*mib*3/4 {
			t.Errorf("%d bytes were sent again after %d cuts", s.Again, cuts)
		}
	}
	r.close(z)
	r.clean()
}

// The session expires while an NFC stream runs. Its lease cannot be reached
// any more, so the export fails as retryable, and cleans up as far as it can.
func TestSessionExpiresInsideAnNFCStream(t *testing.T) {
	t.Parallel()
	o := one(true, false)
	o.LeaseTimeout = 2 * time.Second
	r := newRig(t, single, o, nil, vsphere.Observer{})
	z := r.open(provider.TransportNFC)
	src := r.disk(z, "2000")
	expired := false
	var err error
	for b, e := range src.Blocks(t.Context(), 0) {
		if err = e; err != nil {
			break
		}
		b.Release()
		if !expired {
			expired = true
			r.server.ExpireSessions()
			r.server.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Transport: vcsim.NFC, Rate: 1 << 20})
		}
	}
	if err != nil {
		wantKind(t, err, fault.Unavailable)
	}
	r.server.Faults().Clear()
	r.close(z)
	r.clean()
}

// A template cannot have a snapshot; it is exported as it is, locked.
func TestTemplate(t *testing.T) {
	t.Parallel()
	r := newRig(t, single, one(false, false), nil, vsphere.Observer{})
	u := r.server.URL()
	u.User = url.UserPassword(r.server.Username(), r.server.Password())
	c, err := govmomi.NewClient(t.Context(), u, true)
	if err != nil {
		t.Fatal(err)
	}
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: r.vm.ID}
	if err := object.NewVirtualMachine(c.Client, ref).MarkAsTemplate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	z := r.open("")
	src := r.disk(z, "2000")
	if info := src.Info(); info.Transport != provider.TransportNFC || !strings.Contains(info.Reason, "no snapshot") {
		t.Errorf("%+v", info)
	}
	if _, err := compare(t.Context(), src, r.content("2000"), 0); err != nil {
		t.Error(fault.Detail(err))
	}
	r.close(z)
	r.clean()
}

// Names that break naive code are no matter for the content either.
func TestContentOfOddNames(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: odd()})
	p := connect(t, config(t, s), vsphere.Observer{})
	for vm, err := range p.VMs(t.Context(), "/DC/vm/Odd/*") {
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
		r := &rig{t: t, server: s, p: p, ledger: &ledger{}, path: vm.Path, vm: vm}
		for _, transport := range []string{provider.TransportRange, provider.TransportNFC} {
			z := r.open(transport)
			if _, err := compare(t.Context(), r.disk(z, "2000"), r.content("2000"), 0); err != nil {
				t.Errorf("%s: %v", vm.Path, fault.Detail(err))
			}
			r.close(z)
			r.clean()
		}
	}
}
