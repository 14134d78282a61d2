package step

import (
	"context"
	"encoding/hex"
	"errors"
	"path"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// machine describes the VM for an OVF descriptor.
func machine(vm provider.VM, at time.Time) *ova.Machine {
	m := &ova.Machine{
		Stem: ova.Stem(vm.Name), Name: vm.Name, GuestID: vm.GuestID, GuestName: vm.GuestName, Hardware: vm.Hardware,
		CPUs: vm.CPUs, MemoryMB: vm.MemoryMB, Firmware: vm.Firmware, Secure: vm.SecureBoot, Time: at.Truncate(time.Second),
	}
	for _, d := range vm.Disks {
		m.Disks = append(m.Disks, ova.Disk{Label: d.Label, Controller: d.Controller, Bus: d.Bus, Unit: d.Unit, Capacity: d.CapacityBytes})
	}
	for _, n := range vm.NICs {
		m.NICs = append(m.NICs, ova.NIC{Label: n.Label, Type: n.Type, Network: n.Network})
	}
	return m
}

// nvram is the firmware's variable store among the VM's small files, or nil.
func nvram(files []provider.File) []byte {
	for _, f := range files {
		if strings.EqualFold(path.Ext(f.Name), ".nvram") {
			return f.Data
		}
	}
	return nil
}

// folderLayout is an OVF package as files: descriptor, manifest, disks.
type folderLayout struct {
	fileLayout
	machine *ova.Machine
}

func (l *folderLayout) finish(_ context.Context, r *run, extra []provider.File) error {
	for i, d := range r.st.VM.Disks {
		done, _ := r.st.disk(d.Key)
		for _, f := range r.st.Files {
			if f.Name == done.File {
				l.machine.Disks[i].VMDK = ova.Content{Size: f.Size, SHA256: f.SHA256}
			}
		}
	}
	vars := nvram(extra)
	descriptor, manifest, err := ova.Describe(l.machine, vars)
	if err != nil {
		return err
	}
	if vars != nil {
		if err := r.put(l.machine.NVRAMFile(), vars); err != nil {
			return err
		}
	}
	if err := r.put(l.machine.DescriptorFile(), descriptor); err != nil {
		return err
	}
	if l.machine.Bare {
		return nil
	}
	return r.put(l.machine.ManifestFile(), manifest)
}

// packageLayout is an OVA: one file, the disks one after the other.
type packageLayout struct {
	obj    sink.Object
	w      *ova.Writer
	file   string
	level  int
	member *ova.DiskWriter
}

func newPackageLayout(r *run, vm provider.VM) (*packageLayout, error) {
	m := machine(vm, r.st.Started)
	m.Bare = !r.t.Job.Spec.Manifest()
	l := &packageLayout{file: m.Stem + ".ova", level: r.t.Job.Spec.CompressionLvl}
	var err error
	if l.obj, err = r.stage.Create(l.file, r.st.Package != nil); err != nil {
		return nil, err
	}
	if r.st.Package != nil {
		l.w, err = ova.Restore(l.obj, r.st.Package)
	} else {
		l.w, err = ova.NewWriter(l.obj, m)
	}
	if err != nil {
		return nil, errors.Join(err, l.obj.Close())
	}
	return l, l.save(r)
}

func (l *packageLayout) save(r *run) (err error) {
	r.st.Package, err = l.w.State()
	return err
}

func (l *packageLayout) parallel() int { return 1 }
func (l *packageLayout) close() error  { return l.obj.Close() }

func (l *packageLayout) open(i int, size int64, resume bool) (*output, error) {
	var err error
	if l.member, err = l.w.Disk(); err != nil {
		return nil, err
	}
	if !resume {
		if err := l.member.Truncate(0); err != nil {
			return nil, err
		}
	}
	t, err := vmdk.NewTarget(l.member, vmdk.TargetOptions{Size: size, Level: l.level})
	if err != nil {
		return nil, err
	}
	m := l.w.Machine()
	return &output{target: t, file: l.file, member: m.DiskFile(i), sum: t.Sum, close: func() error { return nil }}, nil
}

func (l *packageLayout) done(r *run, _ int, out *output) error {
	sum, size := out.sum()
	if err := l.member.Close(ova.Content{Size: size, SHA256: hex.EncodeToString(sum[:])}); err != nil {
		return err
	}
	return l.save(r)
}

func (l *packageLayout) finish(ctx context.Context, r *run, extra []provider.File) error {
	vars := nvram(extra)
	_, err := l.w.Finish(ctx, vars)
	if err := errors.Join(err, l.obj.Close()); err != nil {
		return err
	}
	made, err := l.w.Layout(vars)
	if err != nil {
		return err
	}
	f := receipt.File{Name: l.file, Size: made.Size, Frame: made.Frame}
	for _, m := range made.Members {
		f.Members = append(f.Members, receipt.Member{Name: m.Name, Offset: m.Offset, Size: m.Size, SHA256: m.SHA256})
	}
	r.st.Files = []receipt.File{f}
	return nil
}
