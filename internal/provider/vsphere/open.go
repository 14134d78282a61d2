package vsphere

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// Open freezes the VM: by a snapshot, or, where none can be made of a VM that
// is powered off (a template, independent disks) or none is needed (transport
// nfc asked for), by one NFC lease that locks the VM until Close. Kinds:
// Unprocessable (a fatal blocker), Invalid (options), Conflict (Resume: the
// frozen point is gone), and those of the connection.
func (p *Provider) Open(ctx context.Context, vm provider.VM, o provider.OpenOptions) (provider.Snapshot, error) {
	if err := checkOptions(&o); err != nil {
		return nil, err
	}
	c, inv, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	m, err := p.machine(ctx, c, inv, vm.ID)
	if err != nil {
		return nil, err
	}
	if o.Resume != nil {
		return p.resume(ctx, c, &m, &o)
	}
	if m.PowerState == "on" && o.PowerOff {
		if err := p.powerOff(ctx, c, m.ref); err != nil {
			return nil, err
		}
		if m, err = p.machine(ctx, c, inv, vm.ID); err != nil {
			return nil, err
		}
	}
	if err := m.exclude(o.ExcludeDisks); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	z := &frozen{Provider: p, machine: m, options: o, vcenter: c.ServiceContent.About.InstanceUuid}
	if m.cold(o.Transport) {
		if z.shared, err = z.lease(ctx); err != nil {
			return nil, err
		}
		return z, nil
	}
	t, err := p.freeze(ctx, c, &m, &o)
	if err != nil {
		return nil, err
	}
	z.token = t
	if err := z.describe(ctx, c); err != nil {
		return nil, errors.Join(err, p.unfreeze(ctx, o.Ledger, &t))
	}
	return z, nil
}

func checkOptions(o *provider.OpenOptions) error {
	switch {
	case o.Ledger == nil || o.JobID == "":
		return fault.New(fault.Internal, "HX-VSPHERE-063", "a VM is opened without a job or a ledger", "")
	case !slices.Contains([]string{"", provider.TransportAuto, provider.TransportRange, provider.TransportNFC}, o.Transport):
		return fault.Newf(fault.Invalid, "HX-VSPHERE-064", "use auto, range or nfc", "there is no transport %q", o.Transport)
	}
	return nil
}

// resume opens the snapshot that an earlier run of the job made.
func (p *Provider) resume(ctx context.Context, c *vim25.Client, m *machine, o *provider.OpenOptions) (provider.Snapshot, error) {
	t, err := parseToken(o.Resume, c.ServiceContent.About.InstanceUuid, m.ID)
	if err != nil {
		return nil, err
	}
	if err := m.exclude(o.ExcludeDisks); err != nil {
		return nil, err
	}
	z := &frozen{Provider: p, machine: *m, options: *o, vcenter: t.VCenter, token: t}
	if err := z.stands(ctx); err != nil {
		return nil, err
	}
	if err := z.describe(ctx, c); err != nil {
		return nil, err
	}
	return z, nil
}

// exclude takes the disks with these keys or labels out.
func (m *machine) exclude(names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(m.volumes, func(v volume) bool { return v.Key == name || v.Label == name })
		if i < 0 {
			var have []string
			for _, v := range m.volumes {
				have = append(have, v.Label+" ("+v.Key+")")
			}
			return fault.Newf(fault.Unprocessable, "HX-VSPHERE-065", "use a key or a label of: "+strings.Join(have, ", "),
				"the VM has no disk %q to exclude", name)
		}
		m.setVolumes(slices.Delete(slices.Clone(m.volumes), i, i+1))
	}
	return nil
}

// check refuses a VM with fatal blockers, except those of excluded disks.
func (m *machine) check() error {
	if len(m.volumes) == 0 {
		return fault.New(fault.Unprocessable, "HX-VSPHERE-102", m.Path+" has no disks to export", "exclude fewer disks, or choose another VM")
	}
	var why, fix []string
	for _, f := range m.findings {
		excluded := f.disk != "" && !slices.ContainsFunc(m.volumes, func(v volume) bool { return v.Key == f.disk })
		if f.Fatal && !excluded {
			why = append(why, f.Msg)
			fix = append(fix, f.Fix)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fault.Newf(fault.Unprocessable, "HX-VSPHERE-066", strings.Join(slices.Compact(fix), "; "),
		"%s cannot be exported as it is: %s", m.Path, strings.Join(why, "; "))
}

// cold tells whether to export without a snapshot.
func (m *machine) cold(transport string) bool {
	if m.PowerState != poweredOff {
		return false
	}
	return m.template || transport == provider.TransportNFC ||
		slices.ContainsFunc(m.volumes, func(v volume) bool { return !v.frozenBySnapshot() || v.sharing })
}

// describe takes the hardware from the snapshot: the files that it froze, and
// their change ids.
func (z *frozen) describe(ctx context.Context, c *vim25.Client) error {
	z.snapshot = types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: z.token.Snapshot}
	s, err := readOne[mo.VirtualMachineSnapshot](ctx, c, z.snapshot, "config")
	if err != nil {
		return classify(ctx, err, "read the snapshot of "+z.machine.Path)
	}
	before := z.machine.volumes
	z.machine.setConfig(&s.Config)
	after := make([]volume, 0, len(before))
	z.token.ChangeIDs = make(map[string]string)
	for _, v := range z.machine.volumes {
		i := slices.IndexFunc(before, func(b volume) bool { return b.device == v.device })
		if i < 0 {
			continue // excluded
		}
		v.UsedBytes = before[i].UsedBytes
		after = append(after, v)
		if v.ChangeID != "" {
			z.token.ChangeIDs[v.Key] = v.ChangeID
		}
	}
	if len(after) != len(before) {
		return fault.New(fault.Conflict, "HX-VSPHERE-067", fmt.Sprintf("the disks of %s changed while it was frozen", z.machine.Path), "retry")
	}
	z.machine.setVolumes(after)
	return nil
}
