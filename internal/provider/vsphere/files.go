package vsphere

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// maxFile bounds a small file. An nvram is 8 kB to some 300 kB.
const maxFile = 16 << 20

// Files reads the nvram, from the datastore or, where that does not give it
// out, through a lease. An EFI machine may not boot without it: then it is an
// error that it cannot be read. For a BIOS machine it is left out.
func (z *frozen) Files(ctx context.Context) ([]provider.File, error) {
	if z.machine.nvram == "" {
		return nil, nil
	}
	data, err := z.fromStore(ctx, z.machine.nvram)
	if err != nil && ctx.Err() == nil {
		z.log.DebugContext(ctx, "the nvram cannot be read from the datastore", "error", err)
		data, err = z.fromLease(ctx)
	}
	switch {
	case err == nil:
		return []provider.File{{Name: path.Base(z.machine.nvram), Data: data}}, nil
	case ctx.Err() == nil && z.machine.Firmware != "efi":
		z.log.WarnContext(ctx, "the nvram is left out", "vm", z.machine.Path, "error", err)
		return nil, nil
	}
	return nil, classify(ctx, err, "read the nvram of "+z.machine.Path)
}

func (z *frozen) fromStore(ctx context.Context, name string) ([]byte, error) {
	label, _, _ := strings.Cut(strings.TrimPrefix(name, "["), "]")
	for _, store := range z.machine.inv.datastores {
		if store.name != label || store.datacenter != z.machine.inv.datacenter(z.machine.ref) {
			continue
		}
		f, err := z.login.open(ctx, store, name, z.options.Limit)
		if err != nil {
			return nil, err
		}
		if f.size > maxFile {
			return nil, tooLarge(name)
		}
		data := make([]byte, f.size)
		return data, f.readAt(ctx, 0, [][]byte{data})
	}
	return nil, errors.New("the account does not see the datastore " + label)
}

func (z *frozen) fromLease(ctx context.Context) (data []byte, err error) {
	err = z.leased(ctx, func(l *lease) error {
		for i := range l.info.DeviceUrl {
			u := &l.info.DeviceUrl[i]
			if !strings.HasSuffix(u.Key, "/nvram") && !strings.HasSuffix(u.TargetId, ".nvram") {
				continue
			}
			resp, done, err := z.fetch(ctx, u)
			if err != nil {
				return err
			}
			defer done()
			defer resp.Body.Close() //nolint:errcheck // nothing was written
			data, err = io.ReadAll(paced(ctx, io.LimitReader(resp.Body, maxFile+1), z.options.Limit))
			if len(data) > maxFile {
				return tooLarge(z.machine.nvram)
			}
			return err
		}
		return fault.New(fault.Unprocessable, "HX-VSPHERE-077", "the export of the VM does not contain its nvram", "")
	})
	return data, err
}

func tooLarge(name string) error {
	return fault.Newf(fault.Unprocessable, "HX-VSPHERE-078", "", "%s is larger than %d MiB, so it is no nvram", name, maxFile>>20)
}
