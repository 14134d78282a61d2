package vcsim

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// lease is an export of a machine or of one of its snapshots. It is bound to
// the session that asked for it, as all session-specific objects are.
//
// The embedded managed object is guarded by the simulator's lock on it, the
// rest by mu or not changed after the lease is made.
type lease struct {
	mo.HttpNfcLease

	srv     *Server
	session *simulator.Session
	vm      types.ManagedObjectReference
	snap    *types.ManagedObjectReference // nil: the powered-off machine
	host    string
	token   string
	items   []item
	ctx     context.Context //nolint:containedctx // ends the streams with the lease
	cancel  context.CancelFunc
	clock   *time.Timer // times the lease out

	mu       sync.Mutex
	sums     map[string]string // checksum type by device key
	manifest map[string]types.HttpNfcLeaseManifestEntry
}

// item is one file of a lease: a disk, or a small file with its data.
type item struct {
	key  string // device key of the URL, "/vm-62/ParaVirtualSCSIController0:0"
	name string // last element of the URL
	disk *image
	site site
	data []byte
}

// leaseDelay is how long a lease stays in the state initializing.
const leaseDelay = 20 * time.Millisecond

// newLease makes a lease and starts to get it ready. The caller holds the
// machine's lock.
func (s *Server) newLease(ctx *simulator.Context, vm *simulator.VirtualMachine, config *types.VirtualMachineConfigInfo, snap *types.ManagedObjectReference) (*lease, error) {
	items, err := s.leaseItems(vm, config, snap)
	if err != nil {
		return nil, err
	}
	l := &lease{
		srv: s, session: ctx.Session, vm: vm.Self, snap: snap, token: uuid.NewString(), items: items,
		sums: make(map[string]string), manifest: make(map[string]types.HttpNfcLeaseManifestEntry),
	}
	if vm.Runtime.Host != nil {
		l.host = vm.Runtime.Host.Value
	}
	l.ctx, l.cancel = context.WithCancel(s.done)
	l.Self.Type = "HttpNfcLease"
	l.State = types.HttpNfcLeaseStateInitializing
	l.Mode = string(types.HttpNfcLeaseModePushOrGet)
	ctx.Session.Put(l)
	s.mu.Lock()
	s.leases[l.Self] = l
	s.mu.Unlock()
	time.AfterFunc(leaseDelay, l.ready)
	l.clock = time.AfterFunc(s.opts.LeaseTimeout, l.expire)
	return l, nil
}

// leaseItems lists what a lease gives out, disks first.
func (s *Server) leaseItems(vm *simulator.VirtualMachine, config *types.VirtualMachineConfigInfo, snap *types.ManagedObjectReference) ([]item, error) {
	var items []item
	devices := object.VirtualDeviceList(config.Hardware.Device)
	vmPath := s.vmPath(vm)
	for _, dev := range devices {
		d, b := flatDisk(dev)
		if d == nil || snap != nil && independent(b) {
			continue
		}
		m, err := s.image(vm.Self, d, b)
		if err != nil {
			return nil, err
		}
		items = append(items, item{
			key:  fmt.Sprintf("/%s/%s", vm.Self.Value, attachment(devices, d)),
			name: fmt.Sprintf("disk-%d.vmdk", len(items)),
			disk: m,
			site: site{transport: NFC, vm: vmPath, disk: d.Key},
		})
	}
	nvram, err := s.nvram(config)
	if err != nil || nvram == nil {
		return items, err
	}
	return append(items, item{
		key: fmt.Sprintf("/%s/%s", vm.Self.Value, nvramKey), name: nvramKey, data: nvram,
		site: site{transport: NFC, vm: vmPath},
	}), nil
}

// attachment names a device's place as lease keys do: controller type, bus, unit.
func attachment(devices object.VirtualDeviceList, d *types.VirtualDisk) string {
	var unit int32
	if d.UnitNumber != nil {
		unit = *d.UnitNumber
	}
	c, ok := devices.FindByKey(d.ControllerKey).(types.BaseVirtualController)
	if !ok {
		return fmt.Sprintf("VirtualDisk%d", d.Key)
	}
	return fmt.Sprintf("%s%d:%d", devices.TypeName(devices.FindByKey(d.ControllerKey)), c.GetVirtualController().BusNumber, unit)
}

// nvramKey is the configuration key of the nvram file's name, and how leases
// call the file.
const nvramKey = "nvram"

// nvram reads the machine's nvram file; nil if it has none.
func (s *Server) nvram(config *types.VirtualMachineConfigInfo) ([]byte, error) {
	var p object.DatastorePath
	if !p.FromString(config.Files.VmPathName) {
		return nil, nil
	}
	for _, o := range config.ExtraConfig {
		if v := o.GetOptionValue(); v.Key == nvramKey {
			p.Path = path.Join(path.Dir(p.Path), fmt.Sprint(v.Value))
			local, err := s.localPath(p.String())
			if err != nil {
				return nil, err
			}
			data, err := os.ReadFile(filepath.Clean(local))
			if err != nil {
				return nil, fmt.Errorf("read nvram: %w", err)
			}
			return data, nil
		}
	}
	return nil, nil
}

// context makes a simulator context for a change of the lease.
func (l *lease) context() *simulator.Context {
	c := l.srv.context()
	c.Session = l.session
	return c
}

// ready gives out the URLs.
func (l *lease) ready() {
	ctx := l.context()
	ctx.WithLock(l, func() {
		if l.State != types.HttpNfcLeaseStateInitializing {
			return
		}
		info := &types.HttpNfcLeaseInfo{
			Lease: l.Self, Entity: l.vm,
			LeaseTimeout: int32(max(1, (l.srv.opts.LeaseTimeout+time.Second-1)/time.Second)),
		}
		for _, it := range l.items {
			info.DeviceUrl = append(info.DeviceUrl, l.deviceURL(it))
			if it.disk != nil {
				info.TotalDiskCapacityInKB += it.disk.size / 1024
			}
		}
		ctx.Update(l, []types.PropertyChange{
			{Name: "initializeProgress", Val: int32(100)},
			{Name: "state", Val: types.HttpNfcLeaseStateReady},
			{Name: "info", Val: info},
		})
	})
}

func (l *lease) deviceURL(it item) types.HttpNfcLeaseDeviceUrl {
	e := l.srv.host
	host := e.addr
	if l.srv.opts.WildcardHost || unspecified(host) {
		e, host = l.srv.vcenter, "*"
	}
	u := url.URL{Scheme: scheme, Host: host, Path: path.Join("/nfc", l.token, it.name)}
	return types.HttpNfcLeaseDeviceUrl{
		Key: it.key, ImportKey: it.key, Url: u.String(), SslThumbprint: e.thumbprint,
		Disk: new(it.disk != nil), TargetId: it.name, FileSize: int64(len(it.data)),
	}
}

// unspecified tells whether a listener's address cannot be connected to.
func unspecified(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsUnspecified()
}

// end moves the lease to its last state, cuts its streams and forgets it. A
// lease that has ended already stays as it is.
func (l *lease) end(state types.HttpNfcLeaseState, fault types.BaseMethodFault, msg string) {
	ctx := l.context()
	ctx.WithLock(l, func() { l.endLocked(ctx, state, fault, msg) })
}

func (l *lease) endLocked(ctx *simulator.Context, state types.HttpNfcLeaseState, fault types.BaseMethodFault, msg string) {
	if l.over() {
		return
	}
	changes := []types.PropertyChange{{Name: "state", Val: state}}
	if fault != nil {
		changes = append(changes, types.PropertyChange{
			Name: "error", Val: &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: msg},
		})
	}
	ctx.Update(l, changes)
	l.clock.Stop()
	l.cancel()
	l.srv.mu.Lock()
	delete(l.srv.leases, l.Self)
	l.srv.mu.Unlock()
}

// over tells whether the lease is in a last state. The caller holds its lock.
func (l *lease) over() bool {
	return l.State == types.HttpNfcLeaseStateDone || l.State == types.HttpNfcLeaseStateError
}

// expire times the lease out.
func (l *lease) expire() {
	l.end(types.HttpNfcLeaseStateError, &types.Timedout{}, "The operation timed out.")
}

// note puts a file that was sent to its end into the manifest.
func (l *lease) note(e types.HttpNfcLeaseManifestEntry, sha256Hex string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.sums[e.Key] {
	case string(types.HttpNfcLeaseManifestEntryChecksumTypeSha256):
		e.Checksum, e.ChecksumType = sha256Hex, l.sums[e.Key]
	case string(types.HttpNfcLeaseManifestEntryChecksumTypeSha1):
		e.Checksum, e.ChecksumType = e.Sha1, l.sums[e.Key]
	}
	l.manifest[e.Key] = e
}

// noteFile is note for a small file.
func (l *lease) noteFile(it item) {
	sum := sha1.Sum(it.data)
	sum256 := sha256.Sum256(it.data)
	l.note(types.HttpNfcLeaseManifestEntry{
		Key: it.key, Sha1: hex.EncodeToString(sum[:]), Size: int64(len(it.data)),
	}, hex.EncodeToString(sum256[:]))
}

// leased tells whether an open lease forbids to change a machine: one on the
// machine itself, or on one of the snapshots.
func (s *Server) leased(vm types.ManagedObjectReference, snaps []types.ManagedObjectReference) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.leases {
		if l.vm == vm && (l.snap == nil || slices.Contains(snaps, *l.snap)) {
			return true
		}
	}
	return false
}

// leaseOf returns the open lease with a token, or nil.
func (s *Server) leaseOf(token string) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.leases {
		if l.token == token {
			return l
		}
	}
	return nil
}
