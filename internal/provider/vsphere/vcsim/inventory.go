package vcsim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/vpx"
	"github.com/vmware/govmomi/vim25/types"
)

// The names of the inventory.
const (
	datacenterName = "DC"
	networkName    = "VM Network" // every host of the simulator has it
	defaultHost    = "esxi-01.lab.test"
	defaultStore   = "vmfs-01"
)

// vmfs is the type of a datastore that has flat files.
const vmfs = "VMFS"

// clusters and their hosts; the empty name stands for a standalone host.
var clusters = []struct {
	name  string
	hosts []string
}{
	{name: "Production", hosts: []string{defaultHost, "esxi-02.lab.test"}},
	{name: "Edge", hosts: []string{"esxi-03.lab.test"}},
	{name: "", hosts: []string{"esxi-04.lab.test"}},
}

// datastores and their types; all are mounted on every host.
var datastores = []struct{ name, kind string }{
	{name: defaultStore, kind: vmfs},
	{name: "vmfs-02", kind: vmfs},
	{name: "vvol-01", kind: "VVOL"},
}

// estate is the fixed part of the inventory: what machines live on.
type estate struct {
	folders *object.DatacenterFolders
	hosts   map[string]*object.HostSystem
	stores  map[string]*simulator.Datastore
}

// founding is held while a vCenter and its hosts are made: govmomi's simulator
// writes its one evaluation licence (a package variable) for each new vCenter,
// and reads it for each new host or cluster.
var founding sync.Mutex

// newVCenter makes the service of an empty vCenter with its home directory.
func newVCenter(home string) *simulator.Service {
	ctx, instance := simulator.NewServiceInstance(simulator.NewContext(), vpx.ServiceContent, vpx.RootFolder)
	settings := ctx.Map.OptionManager()
	settings.Setting = append(settings.Setting, &types.OptionValue{Key: "vcsim.home", Value: home})
	return simulator.New(ctx, instance)
}

// build makes datacenter, hosts and datastores through the vCenter's own API.
func (s *Server) build(ctx context.Context) error {
	dc, err := object.NewRootFolder(s.client).CreateDatacenter(ctx, datacenterName)
	if err != nil {
		return fmt.Errorf("create datacenter: %w", err)
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return fmt.Errorf("create datacenter: %w", err)
	}
	s.estate = estate{
		folders: folders,
		hosts:   make(map[string]*object.HostSystem),
		stores:  make(map[string]*simulator.Datastore),
	}
	for _, c := range clusters {
		if err := s.addHosts(ctx, c.name, c.hosts); err != nil {
			return err
		}
	}
	for _, d := range datastores {
		if err := s.addDatastore(ctx, d.name, d.kind); err != nil {
			return err
		}
	}
	return nil
}

// addHosts makes a cluster with its hosts, or standalone hosts for "".
func (s *Server) addHosts(ctx context.Context, cluster string, hosts []string) error {
	add := func(spec types.HostConnectSpec) (*object.Task, error) {
		return s.estate.folders.HostFolder.AddStandaloneHost(ctx, spec, true, nil, nil)
	}
	if cluster != "" {
		c, err := s.estate.folders.HostFolder.CreateCluster(ctx, cluster, types.ClusterConfigSpecEx{})
		if err != nil {
			return fmt.Errorf("create cluster %s: %w", cluster, err)
		}
		add = func(spec types.HostConnectSpec) (*object.Task, error) {
			return c.AddHost(ctx, spec, true, nil, nil)
		}
	}
	for _, name := range hosts {
		task, err := add(types.HostConnectSpec{HostName: name, Force: true})
		if err != nil {
			return fmt.Errorf("add host %s: %w", name, err)
		}
		info, err := task.WaitForResult(ctx)
		if err != nil {
			return fmt.Errorf("add host %s: %w", name, err)
		}
		ref, ok := info.Result.(types.ManagedObjectReference)
		if !ok {
			return fmt.Errorf("add host %s: the task has no result", name)
		}
		s.estate.hosts[name] = object.NewHostSystem(s.client, ref)
	}
	return nil
}

// addDatastore makes a datastore on every host. The simulator knows only local
// directories, so the type is put on afterwards.
func (s *Server) addDatastore(ctx context.Context, name, kind string) error {
	dir := filepath.Join(s.dir, datastoresDir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("create datastore %s: %w", name, err)
	}
	var ref types.ManagedObjectReference
	for _, host := range s.estate.hosts {
		system, err := host.ConfigManager().DatastoreSystem(ctx)
		if err != nil {
			return fmt.Errorf("create datastore %s: %w", name, err)
		}
		ds, err := system.CreateLocalDatastore(ctx, name, dir)
		if err != nil {
			return fmt.Errorf("create datastore %s: %w", name, err)
		}
		if ref.Value == "" { // only the first host's answer names it
			ref = ds.Reference()
		}
	}
	ds, ok := s.registry.Get(ref).(*simulator.Datastore)
	if !ok {
		return fmt.Errorf("create datastore %s: the simulator lost it", name)
	}
	s.estate.stores[name] = ds
	if kind != vmfs {
		return nil // until the inventory is complete: see disguise
	}
	ds.Summary.Type = kind
	info := *ds.Info.GetDatastoreInfo()
	ds.Info = &types.VmfsDatastoreInfo{DatastoreInfo: info, Vmfs: &types.HostVmfsVolume{
		HostFileSystemVolume: types.HostFileSystemVolume{Type: kind, Name: name, Capacity: ds.Summary.Capacity},
		BlockSizeMb:          1, MajorVersion: 6, Version: "6.82", Uuid: name,
	}}
	return nil
}

// disguise gives the datastores on object storage their type. The simulator
// would put new machines there into directories named by UUIDs, so it is the
// last step: no machine can be added to them later.
func (s *Server) disguise() {
	for _, d := range datastores {
		s.estate.stores[d.name].Summary.Type = d.kind
	}
}
