package vsphere

import (
	"context"
	"iter"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// rangeSource reads the base file of a frozen disk by parallel Range requests.
type rangeSource struct {
	frozen *frozen
	volume *volume
	file   *file
	info   disk.Info
	known  bool // changed block tracking knows what is allocated
}

var _ disk.Source = (*rangeSource)(nil)

// Info describes the disk.
func (s *rangeSource) Info() disk.Info { return s.info }

// Blocks reads from any offset. Grains that are zero come as Zero. At the end
// it makes sure that the disk was frozen all the time: kind Conflict if not.
func (s *rangeSource) Blocks(ctx context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		extents := whole(s.volume.CapacityBytes)
		if s.known {
			extents = s.frozen.allocated(ctx, s.volume)
		}
		jobs := chunks(extents, from, s.volume.CapacityBytes)
		for blocks, err := range ordered(ctx, s.frozen.cfg.Connections, window, jobs, s.fetch, release) {
			if err != nil {
				yield(disk.Block{}, s.explain(ctx, err))
				return
			}
			for i := range blocks {
				if !yield(blocks[i], nil) {
					release(blocks[i+1:])
					return
				}
			}
		}
		if err := s.unchanged(ctx); err != nil {
			yield(disk.Block{}, s.explain(ctx, err))
		}
	}
}

// explain finds out whether reading failed because the snapshot is gone: then
// to read again is of no use.
func (s *rangeSource) explain(ctx context.Context, err error) error {
	err = classify(ctx, err, "read "+s.file.name)
	if ctx.Err() == nil && fault.KindOf(err).Retryable() {
		if e := s.frozen.stands(ctx); fault.Is(e, fault.Conflict) {
			return e
		}
	}
	return err
}

// fetch reads one chunk, grain by grain into pooled buffers.
func (s *rangeSource) fetch(ctx context.Context, e extent) ([]disk.Block, error) {
	count := int((e.end - e.off + disk.GrainSize - 1) / disk.GrainSize)
	buffers := make([]*disk.Buffer, count)
	pieces := make([][]byte, count)
	for i := range count {
		buffers[i] = disk.GetBuffer()
		pieces[i] = buffers[i].B[:min(disk.GrainSize, e.end-e.off-int64(i)*disk.GrainSize)]
	}
	if err := s.file.readAt(ctx, e.off, pieces); err != nil {
		for _, b := range buffers {
			b.Release()
		}
		return nil, err
	}
	s.frozen.observer.transferred(s.frozen.machine.ID, s.volume.Key, s.info.Transport, e.end-e.off)
	return grains(e.off, pieces, buffers), nil
}

// grains makes blocks of what was read; runs of zero become one block.
func grains(off int64, pieces [][]byte, buffers []*disk.Buffer) []disk.Block {
	blocks := make([]disk.Block, 0, len(pieces))
	for i, p := range pieces {
		n := int64(len(p))
		if disk.IsZero(p) {
			buffers[i].Release()
			if last := len(blocks) - 1; last >= 0 && blocks[last].Enc == disk.Zero {
				blocks[last].Len += n
			} else {
				blocks = append(blocks, disk.NewBlock(off, n, disk.Zero, nil, nil))
			}
		} else {
			blocks = append(blocks, disk.NewBlock(off, n, disk.Raw, p, buffers[i]))
		}
		off += n
	}
	return blocks
}

func release(blocks []disk.Block) {
	for i := range blocks {
		blocks[i].Release()
	}
}

// unchanged tells that what was read is what the snapshot holds: the file still
// states the same identity, and the snapshot still keeps the guest out of it.
func (s *rangeSource) unchanged(ctx context.Context) error {
	if err := s.file.readAt(ctx, 0, [][]byte{make([]byte, 1)}); err != nil {
		return err
	}
	return s.frozen.stands(ctx)
}

// Close frees nothing: connections belong to the session.
func (s *rangeSource) Close() error { return nil }
