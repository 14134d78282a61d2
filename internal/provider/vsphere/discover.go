package vsphere

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// pageSize is how many VMs are read in one round trip: a VM's devices are some
// 20 to 50 kB of XML.
const pageSize = 500

// VMs yields the VMs that match any of the patterns, by path; none given: all.
// It costs one query for the tree and one for every 500 VMs that match.
func (p *Provider) VMs(ctx context.Context, patterns ...string) iter.Seq2[provider.VM, error] {
	return func(yield func(provider.VM, error) bool) {
		c, inv, err := p.look(ctx)
		if err != nil {
			yield(provider.VM{}, err)
			return
		}
		for chunk := range slices.Chunk(inv.match(patterns), p.page) {
			machines, err := readMachines(ctx, c, inv, chunk)
			if err != nil {
				yield(provider.VM{}, err)
				return
			}
			for i := range machines {
				if !yield(machines[i].VM, nil) {
					return
				}
			}
		}
	}
}

// Find returns the one VM that ref names. Kinds: NotFound, Unprocessable
// (several match), and those of the connection.
func (p *Provider) Find(ctx context.Context, ref string) (provider.VM, error) {
	c, inv, err := p.look(ctx)
	if err != nil {
		return provider.VM{}, err
	}
	e, err := inv.one(ref)
	if err != nil {
		return provider.VM{}, err
	}
	machines, err := readMachines(ctx, c, inv, []entry{e})
	if err != nil {
		return provider.VM{}, err
	}
	if len(machines) == 0 {
		return provider.VM{}, inv.missing(ref)
	}
	return machines[0].VM, nil
}

// look connects and reads the tree.
func (p *Provider) look(ctx context.Context) (*vim25.Client, *inventory, error) {
	c, err := p.login.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	inv, err := readInventory(ctx, c)
	return c, inv, err
}

// machine reads one VM by its MoRef.
func (p *Provider) machine(ctx context.Context, c *vim25.Client, inv *inventory, id string) (machine, error) {
	i := slices.IndexFunc(inv.vms, func(e entry) bool { return e.ref.Value == id })
	if i < 0 {
		return machine{}, inv.missing(id)
	}
	list, err := readMachines(ctx, c, inv, inv.vms[i:i+1])
	if err != nil {
		return machine{}, err
	}
	if len(list) == 0 {
		return machine{}, inv.missing(id)
	}
	return list[0], nil
}

// match returns the VMs that any of the patterns names; none given: all.
func (inv *inventory) match(patterns []string) []entry {
	if len(patterns) == 0 {
		return inv.vms
	}
	var found []entry
	for _, e := range inv.vms {
		if slices.ContainsFunc(patterns, e.matches) {
			found = append(found, e)
		}
	}
	return found
}

// listed bounds how many VMs an error names.
const listed = 10

func (inv *inventory) one(ref string) (entry, error) {
	found := inv.match([]string{ref})
	switch {
	case ref == "" || len(found) == 0:
		return entry{}, inv.missing(ref)
	case len(found) > 1:
		return entry{}, fault.Newf(fault.Unprocessable, "HX-VSPHERE-041",
			"use the inventory path, the instance UUID or the MoRef of one of them",
			"%q names %d VMs: %s", ref, len(found), strings.Join(paths(found), ", "))
	}
	return found[0], nil
}

// missing is the error for a VM that does not exist, with what may be meant.
func (inv *inventory) missing(ref string) error {
	var near []entry
	for _, e := range inv.vms {
		if e.resembles(ref) {
			near = append(near, e)
		}
	}
	fix := "list the VMs that the account sees: hyperexport vsphere list"
	if len(near) > 0 {
		fix = "did you mean " + strings.Join(paths(near), ", ") + "?"
	}
	return fault.Newf(fault.NotFound, "HX-VSPHERE-040", fix, "no VM is named %q (of %d that the account sees)", ref, len(inv.vms))
}

func paths(entries []entry) []string {
	var list []string
	for i, e := range entries {
		if i == listed {
			return append(list, fmt.Sprintf("and %d more", len(entries)-listed))
		}
		list = append(list, e.path+" ("+e.ref.Value+")")
	}
	return list
}
