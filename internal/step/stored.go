package step

import (
	"context"
	"errors"
	"io"
	"iter"
	"path"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// transportFile is the transport of a disk that is read from an export.
const transportFile = "file"

// maxNVRAM bounds the small files that go along.
const maxNVRAM = 16 << 20

// Stored is an export on this machine, as the input of a step.
type Stored struct {
	Dir     string
	Receipt *receipt.Receipt
}

// OpenStored finds the export that a step made. Kinds Unprocessable, Corrupt.
func OpenStored(in *job.Outcome) (*Stored, error) {
	if in == nil || len(in.Artifacts) == 0 || in.Artifacts[0].Path == "" || len(in.Receipt) == 0 {
		return nil, fault.New(fault.Unprocessable, "HX-CONVERT-002", "the input is no export on this machine with a receipt", "give it the output of an export")
	}
	r, _, err := receipt.Open(in.Receipt)
	if err != nil {
		return nil, err
	}
	return &Stored{Dir: filepath.Dir(in.Artifacts[0].Path), Receipt: r}, nil
}

// storedProvider presents an export as a frozen VM, so that its disks are copied,
// resumed, verified and published as those of any other.
type storedProvider struct{ *Stored }

func (p storedProvider) vm() provider.VM {
	r := p.Receipt
	vm := provider.VM{Provider: r.VM.Provider, ID: r.VM.ID, Path: r.VM.Path, Name: path.Base(r.VM.Path), UUID: r.VM.UUID, Firmware: r.VM.Firmware}
	for _, d := range r.Disks {
		vm.Disks = append(vm.Disks, provider.Disk{Key: d.Key, Label: d.Name, CapacityBytes: d.Size, ChangeID: d.ChangeID})
	}
	return vm
}

func (p storedProvider) VMs(context.Context, ...string) iter.Seq2[provider.VM, error] {
	return func(yield func(provider.VM, error) bool) { yield(p.vm(), nil) }
}

func (p storedProvider) Find(context.Context, string) (provider.VM, error) { return p.vm(), nil }

func (p storedProvider) Open(context.Context, provider.VM, provider.OpenOptions) (provider.Snapshot, error) {
	folder, err := artifact.OpenFolder(p.Dir)
	if err != nil {
		return nil, err
	}
	return &storedSnapshot{storedProvider: p, folder: folder}, nil
}

// Settle has nothing to do: reading an export leaves nothing.
func (storedProvider) Settle(context.Context, provider.LedgerEntry) error { return nil }
func (storedProvider) Ping(context.Context) error                         { return nil }
func (storedProvider) Close(context.Context) error                        { return nil }

type storedSnapshot struct {
	storedProvider
	folder *artifact.Folder
}

func (s *storedSnapshot) VM() provider.VM { return s.vm() }
func (s *storedSnapshot) Token() []byte   { return []byte("stored") }

func (s *storedSnapshot) Close(context.Context) error  { return s.folder.Close() }
func (s *storedSnapshot) Detach(context.Context) error { return s.folder.Close() }

func (s *storedSnapshot) Disk(_ context.Context, key string) (disk.Source, error) {
	for i := range s.Receipt.Disks {
		if d := &s.Receipt.Disks[i]; d.Key == key {
			img, err := artifact.OpenDisk(s.folder, s.Receipt.Format, d)
			if err != nil {
				return nil, err
			}
			return &storedDisk{Image: img, name: d.Name}, nil
		}
	}
	return nil, fault.Newf(fault.Corrupt, "HX-CONVERT-003", "export again", "the receipt does not hold the disk %q", key)
}

// storedDisk is a disk of an export.
type storedDisk struct {
	*artifact.Image
	name string
}

func (d *storedDisk) Info() disk.Info {
	i := d.Image.Info()
	i.Name, i.Transport, i.Reason = d.name, transportFile, "it is on this machine"
	return i
}

// Files returns the nvram file, where it lies beside the disks.
func (s *storedSnapshot) Files(context.Context) ([]provider.File, error) {
	for _, f := range s.Receipt.Files {
		if path.Ext(f.Name) != ".nvram" || f.Size > maxNVRAM {
			continue
		}
		file, err := s.folder.Open(f.Name)
		if err != nil {
			return nil, err
		}
		data := make([]byte, min(file.Size(), maxNVRAM))
		_, err = file.ReadAt(data, 0)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return []provider.File{{Name: f.Name, Data: data}}, errors.Join(err, file.Close())
	}
	return nil, nil
}
