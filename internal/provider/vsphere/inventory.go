package vsphere

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// inventory is the tree of names, as it was at one moment.
type inventory struct {
	root       types.ManagedObjectReference
	nodes      map[types.ManagedObjectReference]node
	datastores map[types.ManagedObjectReference]datastore
	networks   map[string]string // MoRef value of a distributed port group → name
	vms        []entry           // by path
}

// node is an object that has a place in the tree.
type node struct {
	name   string // as stored
	parent types.ManagedObjectReference
}

// datastore is what decides on transports.
type datastore struct {
	name       string
	kind       string // VMFS, NFS, NFS41, vsan, VVOL, …
	datacenter string // path without the leading slash, as /folder wants it
	free       int64  // bytes
	capacity   int64  // bytes
}

// entry is a VM as the tree knows it.
type entry struct {
	ref          types.ManagedObjectReference
	path         string // from the root; names as stored
	below        string // below the vm folder of its datacenter
	stored, name string // name as stored, and decoded
	uuid         string // instance UUID
}

// readInventory asks for the whole tree with one query; of VMs it wants only
// what identifies them.
func readInventory(ctx context.Context, c *vim25.Client) (*inventory, error) {
	objects, err := walk(ctx, c, []types.PropertySpec{
		{Type: "Folder", PathSet: []string{"name", "parent"}},
		{Type: "Datacenter", PathSet: []string{"name", "parent"}},
		{Type: "VirtualApp", PathSet: []string{"name", "parentFolder", "parentVApp"}},
		{Type: "HostSystem", PathSet: []string{"name", "parent"}},
		{Type: "Datastore", PathSet: []string{"name", "parent", "summary"}},
		{Type: "DistributedVirtualPortgroup", PathSet: []string{"name"}},
		{Type: "VirtualMachine", PathSet: []string{"name", "parent", "parentVApp", "config.instanceUuid"}},
	})
	if err != nil {
		return nil, err
	}
	all, err := decode[any](objects)
	if err != nil {
		return nil, classify(ctx, err, "read the inventory")
	}
	inv := &inventory{
		root:       c.ServiceContent.RootFolder,
		nodes:      make(map[types.ManagedObjectReference]node, len(all)),
		datastores: make(map[types.ManagedObjectReference]datastore),
		networks:   make(map[string]string),
	}
	for _, object := range all {
		inv.add(object)
	}
	inv.place()
	return inv, nil
}

// add takes one object of the answer; only its own names are known yet.
func (inv *inventory) add(object any) {
	put := func(self types.ManagedObjectReference, name string, parents ...*types.ManagedObjectReference) {
		n := node{name: name}
		for _, p := range parents {
			if p != nil {
				n.parent = *p
				break
			}
		}
		inv.nodes[self] = n
	}
	switch o := object.(type) {
	case mo.Folder:
		put(o.Self, o.Name, o.Parent)
	case mo.StoragePod:
		put(o.Self, o.Name, o.Parent)
	case mo.Datacenter:
		put(o.Self, o.Name, o.Parent)
	case mo.VirtualApp:
		put(o.Self, o.Name, o.ParentFolder, o.ParentVApp)
	case mo.HostSystem:
		put(o.Self, o.Name, o.Parent)
	case mo.DistributedVirtualPortgroup:
		inv.networks[o.Self.Value] = decoder.Replace(o.Name)
	case mo.Datastore:
		put(o.Self, o.Name, o.Parent)
		inv.datastores[o.Self] = datastore{
			name: o.Name, kind: o.Summary.Type, free: o.Summary.FreeSpace, capacity: o.Summary.Capacity,
		}
	case mo.VirtualMachine:
		put(o.Self, o.Name, o.Parent, o.ParentVApp)
		e := entry{ref: o.Self}
		if o.Config != nil {
			e.uuid = o.Config.InstanceUuid
		}
		inv.vms = append(inv.vms, e)
	}
}

// place works out the paths once all names are known.
func (inv *inventory) place() {
	for i := range inv.vms {
		e := &inv.vms[i]
		e.stored = canonical.Replace(inv.nodes[e.ref].name)
		e.name = decoder.Replace(e.stored)
		e.path = inv.path(e.ref)
		if datacenter := inv.datacenter(e.ref); datacenter != "" {
			e.below = strings.TrimPrefix(e.path, "/"+datacenter+"/vm/")
		}
	}
	slices.SortFunc(inv.vms, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.ref.Value, b.ref.Value))
	})
	for ref, d := range inv.datastores {
		d.datacenter = inv.datacenter(ref)
		inv.datastores[ref] = d
	}
}

// maxDepth bounds the way up: a tree that contains itself must not hang us.
const maxDepth = 64

// path returns the inventory path of an object: /DC/vm/folder/name.
func (inv *inventory) path(ref types.ManagedObjectReference) string {
	var names []string
	for range maxDepth {
		n, ok := inv.nodes[ref]
		if !ok || ref == inv.root {
			break
		}
		names = append(names, canonical.Replace(n.name))
		ref = n.parent
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

// datacenter returns the path of the datacenter above ref, without the leading
// slash; empty if there is none that the account sees.
func (inv *inventory) datacenter(ref types.ManagedObjectReference) string {
	for range maxDepth {
		n, ok := inv.nodes[ref]
		if !ok {
			return ""
		}
		if ref.Type == "Datacenter" {
			return strings.TrimPrefix(inv.path(ref), "/")
		}
		ref = n.parent
	}
	return ""
}
