package vcsim_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// start runs a server for the test, in parallel with other tests.
func start(t *testing.T, o vcsim.Options) *vcsim.Server {
	t.Helper()
	t.Parallel()
	s, err := vcsim.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// connect makes a client without a session that trusts the server's certificate.
func connect(t *testing.T, s *vcsim.Server) *govmomi.Client {
	t.Helper()
	sc := soap.NewClient(s.URL(), false)
	sc.SetThumbprint(s.URL().Host, s.Thumbprint())
	vc, err := vim25.NewClient(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	return &govmomi.Client{Client: vc, SessionManager: session.NewManager(vc)}
}

// login makes a client with a session.
func login(t *testing.T, s *vcsim.Server) *govmomi.Client {
	t.Helper()
	c := connect(t, s)
	if err := c.Login(t.Context(), url.UserPassword(s.Username(), s.Password())); err != nil {
		t.Fatal(err)
	}
	return c
}

func machine(t *testing.T, c *govmomi.Client, path string) *object.VirtualMachine {
	t.Helper()
	vm, err := find.NewFinder(c.Client).VirtualMachine(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func properties(t *testing.T, vm *object.VirtualMachine) mo.VirtualMachine {
	t.Helper()
	var p mo.VirtualMachine
	if err := vm.Properties(t.Context(), vm.Reference(), []string{"config", "runtime", "snapshot", "layoutEx", "summary", "guest"}, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// backing returns a disk's backing by its device key.
func backing(t *testing.T, config *types.VirtualMachineConfigInfo, key int32) *types.VirtualDiskFlatVer2BackingInfo {
	t.Helper()
	for _, d := range config.Hardware.Device {
		if d.GetVirtualDevice().Key == key {
			if b, ok := d.GetVirtualDevice().Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
				return b
			}
		}
	}
	t.Fatalf("no flat disk with key %d", key)
	return nil
}

func snapshot(t *testing.T, vm *object.VirtualMachine, name string) types.ManagedObjectReference {
	t.Helper()
	task, err := vm.CreateSnapshot(t.Context(), name, "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	info, err := task.WaitForResult(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ref, ok := info.Result.(types.ManagedObjectReference)
	if !ok {
		t.Fatalf("the task's result is %v", info.Result)
	}
	return ref
}

func removeSnapshot(t *testing.T, vm *object.VirtualMachine, ref types.ManagedObjectReference) error {
	t.Helper()
	task, err := vm.RemoveSnapshot(t.Context(), ref.Value, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return task.Wait(t.Context())
}

// get makes a request with the client's session and connections.
func get(t *testing.T, c *govmomi.Client, method, u, rng string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	res, err := c.Client.Client.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Logf("body of %s: %v", u, err)
		return res, nil
	}
	return res, body
}

// flatURL returns the /folder address of a disk's base file.
func flatURL(s *vcsim.Server, b *types.VirtualDiskFlatVer2BackingInfo) string {
	for b.Parent != nil {
		b = b.Parent
	}
	var p object.DatastorePath
	p.FromString(b.FileName)
	u := s.URL()
	u.Path = "/folder/" + p.Path[:len(p.Path)-len(".vmdk")] + "-flat.vmdk"
	u.RawQuery = url.Values{"dcPath": {"DC"}, "dsName": {p.Datastore}}.Encode()
	return u.String()
}

// read returns a part of a disk's content.
func read(t *testing.T, c *vcsim.Content, off, n int64) []byte {
	t.Helper()
	p := make([]byte, n)
	if _, err := c.ReadAt(p, off); err != nil {
		t.Fatal(err)
	}
	return p
}

func disk(t *testing.T, s *vcsim.Server, path string, key int32) *vcsim.Content {
	t.Helper()
	d, err := s.Disk(path, key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: content differs (%d bytes, want %d)", what, len(got), len(want))
	}
}

// one is an inventory of a single running machine with a small disk.
func one() []vcsim.VM {
	return []vcsim.VM{{Path: "vm-a", On: true, CBT: true, Disks: []vcsim.Disk{{Size: 4<<20 + 512, Fill: stripes}}}}
}

// only returns machines of the default inventory.
func only(paths ...string) vcsim.Options {
	all := vcsim.DefaultInventory()
	return vcsim.Options{VMs: slices.DeleteFunc(all, func(v vcsim.VM) bool { return !slices.Contains(paths, v.Path) })}
}

// stripes fills every other MiB with a pattern.
func stripes(w io.WriterAt, size int64) (string, error) {
	for off := int64(0); off < size; off += 2 << 20 {
		p := make([]byte, min(1<<20, size-off))
		for i := range p {
			p[i] = byte(i>>8) ^ byte(i) ^ byte(off>>20)
		}
		if _, err := w.WriteAt(p, off); err != nil {
			return "", err
		}
	}
	return "", nil
}
