package vsphere

import (
	"context"
	"fmt"
	"iter"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// extent is the bytes [off, end) of a disk.
type extent struct{ off, end int64 }

const (
	// chunk is the most bytes of one Range request.
	chunk = 2 << 20
	// window bounds what is read ahead of the consumer in chunks; with the one
	// that is being consumed, that is 30 MiB per disk.
	window = 14
	// nearby is a gap that is read rather than skipped: a request more costs
	// more than these bytes.
	nearby = 256 << 10
)

// allocated yields what may hold data, ascending, as far as changed block
// tracking knows. Where it does not answer, or answers with nonsense, the rest
// of the disk counts as allocated: a wrong "empty" would lose data.
func (z *frozen) allocated(ctx context.Context, v *volume) iter.Seq[extent] {
	return func(yield func(extent) bool) {
		for at := int64(0); at < v.CapacityBytes; {
			page, next, err := z.queryAllocated(ctx, v, at)
			if err != nil {
				z.log.WarnContext(ctx, "changed block tracking does not say what is allocated, everything is read",
					"disk", v.Key, "from", at, "error", err)
				yield(extent{at, v.CapacityBytes})
				return
			}
			for _, e := range page {
				if !yield(e) {
					return
				}
			}
			at = next
		}
	}
}

// queryAllocated asks for one page, and returns where the next one begins.
func (z *frozen) queryAllocated(ctx context.Context, v *volume, at int64) (page []extent, next int64, err error) {
	c, err := z.login.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	res, err := methods.QueryChangedDiskAreas(ctx, c, &types.QueryChangedDiskAreas{
		This: z.machine.ref, Snapshot: &z.snapshot, DeviceKey: v.device, StartOffset: at, ChangeId: "*",
	})
	if err != nil {
		return nil, 0, err
	}
	info := res.Returnval
	if info.StartOffset > at || info.Length <= 0 || info.Length > v.CapacityBytes || info.StartOffset+info.Length <= at {
		return nil, 0, fmt.Errorf("the answer for offset %d covers %d+%d", at, info.StartOffset, info.Length)
	}
	for _, a := range info.ChangedArea {
		if a.Start < 0 || a.Length < 0 || a.Start > v.CapacityBytes || a.Length > v.CapacityBytes-a.Start {
			return nil, 0, fmt.Errorf("an area %d+%d lies outside of the disk", a.Start, a.Length)
		}
		page = append(page, extent{a.Start, a.Start + a.Length})
	}
	return page, info.StartOffset + info.Length, nil
}

// chunks cuts extents into requests: aligned to grains, merged where the gap is
// small, from offset from on. An extent that lies before what was yielded is
// left out as far as it does.
func chunks(extents iter.Seq[extent], from, size int64) iter.Seq[extent] {
	return func(yield func(extent) bool) {
		open := extent{from, from}
		flush := func() bool {
			for open.off < open.end {
				end := min(open.off+chunk, open.end)
				if !yield(extent{open.off, end}) {
					return false
				}
				open.off = end
			}
			return true
		}
		for e := range extents {
			e.off = max(e.off/disk.GrainSize*disk.GrainSize, open.end)
			e.end = min((e.end+disk.GrainSize-1)/disk.GrainSize*disk.GrainSize, size)
			if e.off >= e.end {
				continue
			}
			if e.off-open.end > nearby || open.off == open.end {
				if !flush() {
					return
				}
				open.off = e.off
			}
			open.end = e.end
		}
		flush()
	}
}

// whole is a disk of which nothing is known.
func whole(size int64) iter.Seq[extent] {
	return func(yield func(extent) bool) { yield(extent{0, size}) }
}
