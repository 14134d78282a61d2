package vcsim_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/nfc"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// export opens a lease on a snapshot of vm-a and waits until it is ready.
func export(t *testing.T, c *govmomi.Client) (*nfc.Lease, *nfc.LeaseInfo) {
	t.Helper()
	vm := machine(t, c, "/DC/vm/vm-a")
	ref := snapshot(t, vm, "export")
	lease, err := vm.ExportSnapshot(t.Context(), &ref)
	if err != nil {
		t.Fatal(err)
	}
	info, err := lease.Wait(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return lease, info
}

func TestLeaseServesAndStates(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	lease, info := export(t, c)
	if info.LeaseTimeout != 300 || len(info.DeviceUrl) != 2 {
		t.Fatalf("lease info %+v", info)
	}
	disk, nvram := info.DeviceUrl[0], info.DeviceUrl[1]
	if !*disk.Disk || disk.FileSize != 0 || disk.TargetId != "disk-0.vmdk" || strings.Count(disk.SslThumbprint, ":") != 19 {
		t.Errorf("disk URL %+v", disk)
	}
	if !strings.HasPrefix(disk.Key, "/vm-") || !strings.HasSuffix(disk.Key, "/ParaVirtualSCSIController0:0") {
		t.Errorf("key %q", disk.Key)
	}
	if *nvram.Disk || nvram.FileSize == 0 {
		t.Errorf("nvram URL %+v", nvram)
	}
	if _, err := methods.HttpNfcLeaseSetManifestChecksumType(t.Context(), c.Client, &types.HttpNfcLeaseSetManifestChecksumType{
		This: lease.Reference(), DeviceUrlsToChecksumTypes: []types.KeyValue{{Key: disk.Key, Value: "sha256"}},
	}); err != nil {
		t.Fatal(err)
	}
	res, body := get(t, c, http.MethodGet, disk.Url, "bytes=0-511")
	if res.StatusCode != 200 || res.ContentLength != -1 || res.Header.Get("Content-Type") != "application/x-vnd.vmware-streamVmdk" {
		t.Errorf("%s, length %d, %s", res.Status, res.ContentLength, res.Header)
	}
	sum, sum256 := sha1.Sum(body), sha256.Sum256(body)
	m, err := lease.GetManifest(t.Context())
	if err != nil || len(m) != 1 {
		t.Fatalf("manifest %v, %v", m, err)
	}
	want := types.HttpNfcLeaseManifestEntry{
		Key: disk.Key, Sha1: hex.EncodeToString(sum[:]), Checksum: hex.EncodeToString(sum256[:]), ChecksumType: "sha256",
		Size: int64(len(body)), Disk: true, Capacity: 4<<20 + 512, PopulatedSize: 2<<20 + 512,
	}
	if m[0] != want {
		t.Errorf("manifest\n%+v, want\n%+v", m[0], want)
	}
	if res, file := get(t, c, http.MethodGet, nvram.Url, ""); res.StatusCode != 200 || int64(len(file)) != nvram.FileSize || !bytes.HasPrefix(file, []byte("MRVN")) {
		t.Errorf("nvram: %s, %d bytes", res.Status, len(file))
	}
	for u, status := range map[string]int{disk.Url + "x": 404, strings.Replace(disk.Url, "/nfc/", "/nfc/0", 1): 404} {
		if res, _ := get(t, c, http.MethodGet, u, ""); res.StatusCode != status {
			t.Errorf("%s: %s", u, res.Status)
		}
	}
	if err := lease.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, c, http.MethodGet, disk.Url, ""); res.StatusCode != 404 {
		t.Errorf("after complete: %s", res.Status)
	}
	if err := lease.Complete(t.Context()); !fault.Is(err, &types.InvalidState{}) {
		t.Errorf("second complete: %v", err)
	}
}

func TestExportVMNeedsPowerOff(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	if _, err := vm.Export(t.Context()); !fault.Is(err, &types.InvalidPowerState{}) {
		t.Fatalf("running: %v", err)
	}
	off, err := vm.PowerOff(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := off.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease, err := vm.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := s.Leftovers(); len(left) != 1 {
		t.Errorf("leftovers %q", left)
	}
	if _, err := vm.PowerOn(t.Context()); !fault.Is(err, &types.TaskInProgress{}) {
		t.Errorf("power on under a lease: %v", err)
	}
	if _, err := lease.Wait(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := lease.Abort(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("leftovers %q", left)
	}
	var p mo.HttpNfcLease
	if err := c.RetrieveOne(t.Context(), lease.Reference(), []string{"state", "error"}, &p); err != nil || p.State != types.HttpNfcLeaseStateError || p.Error == nil {
		t.Errorf("an aborted lease is %+v, %v", p, err)
	}
	if _, err := vm.PowerOn(t.Context()); err != nil {
		t.Error(err)
	}
}

// Without progress a lease times out: its state, its streams and its URLs show it.
func TestLeaseTimesOut(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one(), LeaseTimeout: 300 * time.Millisecond})
	c := login(t, s)
	lease, info := export(t, c)
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Stall, Transport: vcsim.NFC, After: 70_000})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, info.DeviceUrl[0].Url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := c.Client.Client.Client.Do(req); err == nil { // else it was cut before the answer
		if _, err := io.Copy(io.Discard, res.Body); err == nil && res.StatusCode == 200 {
			t.Error("the stream must be cut")
		}
		_ = res.Body.Close()
	}
	if _, err := lease.Wait(t.Context(), nil); !fault.Is(err, &types.Timedout{}) {
		t.Errorf("state: %v", err)
	}
	if err := lease.Progress(t.Context(), 1); !fault.Is(err, &types.Timedout{}) {
		t.Errorf("progress: %v", err)
	}
	if res, _ := get(t, c, http.MethodGet, info.DeviceUrl[0].Url, ""); res.StatusCode != 404 {
		t.Errorf("URL: %s", res.Status)
	}
}

func TestLeaseFaults(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	lease, info := export(t, c)
	u := info.DeviceUrl[0].Url
	_, whole := get(t, c, http.MethodGet, u, "")
	sum := sha1.Sum(whole)

	s.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.NFC, Times: 1})
	if res, _ := get(t, c, http.MethodGet, u, ""); res.StatusCode != 503 {
		t.Errorf("unavailable: %s", res.Status)
	}
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Cut, Transport: vcsim.NFC, VM: "/DC/vm/vm-a", Disk: 2000, After: 1000, Times: 1})
	if res, body := get(t, c, http.MethodGet, u, ""); res.StatusCode != 200 || body != nil {
		t.Errorf("cut: %s, %d bytes", res.Status, len(body))
	}
	for _, kind := range []vcsim.FaultKind{vcsim.CorruptGrain, vcsim.CorruptContent} {
		s.Faults().Add(vcsim.Fault{Kind: kind, After: 2<<20 + 77, Times: 1})
		_, bad := get(t, c, http.MethodGet, u, "")
		if len(bad) == 0 || bytes.Equal(bad, whole) {
			t.Errorf("fault %d: %d bytes, not damaged", kind, len(bad))
		}
		m, err := lease.GetManifest(t.Context())
		if err != nil || m[0].Sha1 != hex.EncodeToString(sum[:]) {
			t.Errorf("fault %d: the manifest does not state what was meant: %v, %v", kind, m, err)
		}
	}
	if _, again := get(t, c, http.MethodGet, u, ""); !bytes.Equal(again, whole) {
		t.Error("the stream is not the same after the faults")
	}
	s.Faults().Add(vcsim.Fault{Kind: vcsim.LoseLease, After: 10, Times: 1})
	if _, body := get(t, c, http.MethodGet, u, ""); body != nil {
		t.Errorf("lost lease: %d bytes", len(body))
	}
	if _, err := lease.Wait(t.Context(), nil); !fault.Is(err, &types.Timedout{}) {
		t.Errorf("lost lease: %v", err)
	}
}

func TestStreamsPerHost(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one(), StreamsPerHost: 1})
	c := login(t, s)
	_, info := export(t, c)
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Stall, Transport: vcsim.NFC, After: 100, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, info.DeviceUrl[0].Url, nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := c.Client.Client.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Body.Close()
	res, body := get(t, c, http.MethodGet, info.DeviceUrl[0].Url, "")
	if res.StatusCode != 503 || !strings.Contains(string(body), "NFC error 5") {
		t.Errorf("second stream: %s %s", res.Status, body)
	}
}

func TestLeaseBelongsToItsSession(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	lease, _ := export(t, c)
	other := nfc.NewLease(login(t, s).Client, lease.Reference())
	if err := other.Progress(t.Context(), 1); !fault.Is(err, &types.ManagedObjectNotFound{}) {
		t.Errorf("another session: %v", err)
	}
	if err := lease.Progress(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestSnapshotUnderLeaseStays(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	lease, _ := export(t, c)
	vm := machine(t, c, "/DC/vm/vm-a")
	ref := properties(t, vm).Snapshot.CurrentSnapshot
	if err := removeSnapshot(t, vm, *ref); !fault.Is(err, &types.TaskInProgress{}) {
		t.Errorf("under a lease: %v", err)
	}
	if err := lease.Abort(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := removeSnapshot(t, vm, *ref); err != nil {
		t.Error(err)
	}
}

func TestWildcardHost(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one(), WildcardHost: true})
	c := login(t, s)
	_, info := export(t, c)
	if !strings.HasPrefix(info.DeviceUrl[0].Url, "https://*/nfc/") {
		t.Fatalf("URL %s", info.DeviceUrl[0].Url)
	}
	u := strings.Replace(info.DeviceUrl[0].Url, "*", s.URL().Host, 1)
	if res, body := get(t, c, http.MethodGet, u, ""); res.StatusCode != 200 || len(body) == 0 {
		t.Errorf("%s, %d bytes", res.Status, len(body))
	}
}
