package disk

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Counters tell how far a copy is; safe to read at any time.
type Counters struct {
	Offset  atomic.Int64 // logical bytes passed, zero runs included
	Zero    atomic.Int64 // of these, zero and therefore neither read nor written
	Written atomic.Int64 // bytes handed to the target in its own encoding
	Read    atomic.Int64 // bytes that the source delivered in its own encoding
}

// Checkpoint is a durable point of a copy.
type Checkpoint struct {
	Offset int64  // everything below is in the target and synced
	Digest []byte // Digest.MarshalBinary at that offset
}

// CheckpointBytes is how much lies between two checkpoints at most: what a crash
// costs to read again, besides what is in flight. Zero areas count, because a
// source that can go on in the middle may have had to read them to know; with
// Rehash they do not, because all is read again anyway.
const CheckpointBytes = 64 << 20

// CopyOptions modify a copy; the zero value is a plain copy.
type CopyOptions struct {
	// Checkpoint, with a Resumable target, is called after the target has
	// synced. record is what Target.Mark returned. An error ends the copy.
	Checkpoint func(ctx context.Context, c Checkpoint, record []byte) error
	// Resume continues after this point; the target has been replayed.
	Resume *Checkpoint
	// Rehash reads from the start although it resumes, hashes what is there
	// already without writing it, and compares: for sources that cannot seek.
	// Other content than before is of kind Conflict.
	Rehash bool
	// Counters are updated if not nil.
	Counters *Counters
}

// CopyResult is what a copy proved.
type CopyResult struct {
	Root      Hash
	Ranges    []Hash
	RangeSize int64
}

// Copy moves the whole disk from src to dst: read, decode and hash each grain,
// encode it for the target, write it in order. Decoding, hashing and encoding
// run on all cores; a bounded number of grains is in flight. It calls
// dst.Finish, and closes nothing.
//
// It starts goroutines and waits for all of them before it returns. After an
// error the target is unusable, except by Replay up to the last checkpoint.
func Copy(ctx context.Context, dst Target, src Source, o CopyOptions) (CopyResult, error) {
	c, err := newCopier(dst, src, o)
	if err != nil {
		return CopyResult{}, err
	}
	if err := c.run(ctx); err != nil {
		return CopyResult{}, err
	}
	if err := dst.Finish(ctx); err != nil {
		return CopyResult{}, err
	}
	return CopyResult{Root: c.digest.Root(), Ranges: c.digest.Ranges(), RangeSize: c.digest.RangeSize()}, nil
}

// Measure reads the whole source and returns its digest without writing.
func Measure(ctx context.Context, src Source, n *Counters) (CopyResult, error) {
	return Copy(ctx, discard{}, src, CopyOptions{Counters: n})
}

type discard struct{}

func (discard) Accepts(Encoding) bool                { return true }
func (discard) Encode(*Block) error                  { return nil }
func (discard) Put(_ context.Context, b Block) error { b.Release(); return nil }
func (discard) Finish(context.Context) error         { return nil }

const (
	batchBlocks = 8  // grains that travel together
	batchDepth  = 12 // batches in flight
)

// batch is the unit that travels through the pipeline.
type batch struct {
	blocks []Block
	leaves [batchBlocks]Hash
	done   chan error // one value when the workers are through with it
}

type copier struct {
	dst    Target
	src    Source
	o      CopyOptions
	size   int64
	digest *Digest
	before *Digest // what the earlier attempt had seen at the resume point
	keep   int64   // below this offset the target has everything already
	since  int64   // bytes since the last checkpoint
	n      *Counters
}

func newCopier(dst Target, src Source, o CopyOptions) (*copier, error) {
	c := &copier{dst: dst, src: src, o: o, size: src.Info().Size, n: o.Counters}
	if c.n == nil {
		c.n = new(Counters)
	}
	c.digest = NewDigest(c.size)
	if o.Resume == nil {
		return c, nil
	}
	d, err := UnmarshalDigest(o.Resume.Digest)
	if err != nil {
		return nil, err
	}
	if d.size != c.size || d.Offset() != o.Resume.Offset {
		return nil, fault.New(fault.Conflict, "HX-DISK-005", "the checkpoint belongs to another disk", "the disk is copied from the start")
	}
	c.keep = o.Resume.Offset
	if o.Rehash {
		c.before = d
	} else {
		c.digest = d
		c.n.Offset.Store(c.keep)
	}
	return c, nil
}

func (c *copier) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	var (
		free    = make(chan *batch, batchDepth)
		work    = make(chan *batch, batchDepth)
		ordered = make(chan *batch, batchDepth)
	)
	for range batchDepth {
		free <- &batch{blocks: make([]Block, 0, batchBlocks), done: make(chan error, 1)}
	}
	g.Go(func() error {
		defer close(work)
		defer close(ordered)
		return fault.Protect(func() error { return c.read(ctx, free, work, ordered) })
	})
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error { c.work(work); return nil })
	}
	g.Go(func() error { return fault.Protect(func() error { return c.write(ctx, free, ordered) }) })
	return g.Wait()
}

// read takes blocks from the source and fills batches. It owns free until a
// batch is sent on.
func (c *copier) read(ctx context.Context, free <-chan *batch, work, ordered chan<- *batch) error {
	var cur *batch
	send := func() {
		ordered <- cur // never blocks: as deep as there are batches
		work <- cur
		cur = nil
	}
	next := c.digest.Offset()
	for b, err := range c.src.Blocks(ctx, next) {
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := c.check(&b, next); err != nil {
			return err
		}
		next = b.Off + b.Len
		c.n.Read.Add(int64(len(b.Data)))
		if cur == nil {
			select {
			case cur = <-free:
			case <-ctx.Done():
				b.Release()
				return context.Cause(ctx)
			}
		}
		if cur.blocks = append(cur.blocks, b); len(cur.blocks) == batchBlocks {
			send()
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if cur != nil {
		send()
	}
	return nil
}

// check refuses a block that breaks the contract of Source.
func (c *copier) check(b *Block, next int64) error {
	whole := b.Len == GrainSize || b.Off+b.Len == c.size && b.Len < GrainSize
	ok := b.Off >= next && b.Off%GrainSize == 0 && b.Len > 0 && b.Len <= c.size-b.Off &&
		(b.Enc == Zero && (b.Len%GrainSize == 0 || b.Off+b.Len == c.size) || b.Enc != Zero && whole) &&
		(b.Enc != Raw || int64(len(b.Data)) == b.Len)
	if ok {
		return nil
	}
	b.Release()
	return fault.Newf(fault.Corrupt, "HX-DISK-006", "run the export again; if it stays, report it",
		"the source delivered a block out of order or out of bounds (offset %d, length %d, after %d of %d)", b.Off, b.Len, next, c.size)
}

// work decodes, hashes and encodes batches until the channel is closed.
func (c *copier) work(work <-chan *batch) {
	w := worker{c: c, leaf: NewLeafHasher()}
	defer w.dec.close()
	for b := range work {
		b.done <- fault.Protect(func() error { return w.batch(b) })
	}
}

type worker struct {
	c    *copier
	leaf *LeafHasher
	dec  decoder
}

func (w *worker) batch(b *batch) error {
	for i := range b.blocks {
		if err := w.block(&b.blocks[i], &b.leaves[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) block(b *Block, leaf *Hash) error {
	if b.Enc == Zero {
		return nil
	}
	plain := b.Data
	var buf *Buffer
	if b.Enc != Raw {
		buf = GetBuffer()
		var err error
		if plain, err = w.dec.decode(buf.B, b); err != nil {
			buf.Release()
			return err
		}
	}
	if IsZero(plain) {
		b.Replace(Zero, nil, nil)
		if buf != nil {
			buf.Release()
		}
		return nil
	}
	*leaf = w.leaf.Sum(plain)
	if b.Off < w.c.keep {
		if buf != nil {
			buf.Release()
		}
		return nil // only hashed
	}
	switch {
	case buf == nil:
	case w.c.dst.Accepts(b.Enc):
		buf.Release()
	default:
		b.Replace(Raw, plain, buf)
	}
	if err := w.c.dst.Encode(b); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return nil
}

// write puts the blocks in order, keeps the digest and makes checkpoints.
func (c *copier) write(ctx context.Context, free chan<- *batch, ordered <-chan *batch) error {
	for b := range ordered {
		if err := c.writeBatch(ctx, b); err != nil {
			return err
		}
		b.blocks = b.blocks[:0]
		free <- b
	}
	if err := context.Cause(ctx); err != nil {
		return err // the reader gave up: this is not the end of the disk
	}
	if err := c.zeros(c.size); err != nil {
		return err
	}
	c.n.Offset.Store(c.size)
	return nil
}

func (c *copier) writeBatch(ctx context.Context, b *batch) error {
	if err := <-b.done; err != nil {
		return err
	}
	for i := range b.blocks {
		if err := c.writeBlock(ctx, b.blocks[i], b.leaves[i]); err != nil {
			return err
		}
	}
	if c.o.Checkpoint == nil || c.since < CheckpointBytes {
		return nil
	}
	c.since = 0
	return c.checkpoint(ctx)
}

func (c *copier) writeBlock(ctx context.Context, b Block, leaf Hash) error {
	end := b.Off + b.Len
	if err := c.zeros(b.Off); err != nil {
		return err
	}
	if b.Enc == Zero {
		return c.zeros(end)
	}
	c.digest.Leaf(leaf)
	c.n.Offset.Store(end)
	if end <= c.keep {
		b.Release()
		return c.compare()
	}
	c.since += b.Len
	c.n.Written.Add(int64(len(b.Data)))
	if err := c.dst.Put(ctx, b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// zeros passes a hole up to the offset.
func (c *copier) zeros(to int64) error {
	from := c.digest.Offset()
	if to <= from {
		return nil
	}
	c.n.Zero.Add(to - from)
	if from < c.keep && to > c.keep {
		c.digest.Zeros(c.keep)
		if err := c.compare(); err != nil {
			return err
		}
	}
	c.digest.Zeros(to)
	c.n.Offset.Store(to)
	if !c.o.Rehash {
		c.since += to - from
	}
	return c.compare()
}

// compare checks, when a re-read has reached the resume point, that it saw the
// same content as the attempt before.
func (c *copier) compare() error {
	if c.before == nil || c.digest.Offset() != c.keep {
		return nil
	}
	same := c.digest.Equal(c.before)
	c.before = nil
	if same {
		return nil
	}
	return fault.New(fault.Conflict, "HX-DISK-007", "the disk is not the one that the interrupted attempt read", "the disk is copied from the start")
}

func (c *copier) checkpoint(ctx context.Context) error {
	r, ok := c.dst.(Resumable)
	if !ok || c.digest.Offset() < c.keep {
		return nil
	}
	record, err := r.Mark()
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	state, err := c.digest.MarshalBinary()
	if err != nil {
		return err
	}
	return c.o.Checkpoint(ctx, Checkpoint{Offset: c.digest.Offset(), Digest: state}, record)
}
