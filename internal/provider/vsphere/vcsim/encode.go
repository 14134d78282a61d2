package vcsim

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
)

// streams keeps the encoded form of frozen disks, so that a second export of
// the same content does not deflate again.
type streams struct {
	ctx context.Context //nolint:containedctx // ends the encoders with the server
	dir string
	wg  sync.WaitGroup

	mu   sync.Mutex
	kept map[*image]*stream // the latest content of each disk
}

func newStreams(ctx context.Context, dir string) *streams {
	return &streams{ctx: ctx, dir: dir, kept: make(map[*image]*stream)}
}

// stream is a streamOptimized VMDK that is being encoded or is complete. It is
// read while it grows. The file has no name, it goes with the last reader.
type stream struct {
	rev  uint64
	disk *image
	f    *os.File
	refs int // readers, the encoder and streams.kept; streams.mu guards it

	mu        sync.Mutex
	grown     sync.Cond
	size      int64
	done      bool
	err       error
	sha1      string // hex, once done
	sha256    string
	populated int64 // bytes of virtual disk in grains
}

// open returns the stream of a disk at a snapshot (nil: now). The caller
// releases it. poison, if not negative, makes it the stream of a content that
// differs in the byte at that offset; it is not kept.
func (t *streams) open(m *image, snap *types.ManagedObjectReference, poison int64) (*stream, error) {
	rev, err := m.revision(snap)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if st := t.kept[m]; st != nil && poison < 0 && st.rev == rev && !st.failed() {
		st.refs++
		return st, nil
	}
	f, err := os.CreateTemp(t.dir, "*.vmdk")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.name, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("encode %s: %w", m.name, err), f.Close())
	}
	st := &stream{rev: rev, disk: m, f: f, refs: 2}
	st.grown.L = &st.mu
	if poison < 0 {
		if old := t.kept[m]; old != nil {
			t.unref(old)
		}
		t.kept[m] = st
		st.refs++
	}
	t.wg.Go(func() {
		st.finish(st.encode(t.ctx, frozenDisk{m: m, snap: snap, poison: poison}))
		t.release(st)
	})
	return st, nil
}

// release gives up a stream.
func (t *streams) release(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unref(st)
}

func (t *streams) unref(st *stream) {
	if st.refs--; st.refs == 0 {
		_ = st.f.Close() // nobody can read it any more
	}
}

// close waits for the encoders, whose context has ended, and drops everything.
func (t *streams) close() {
	t.wg.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for m, st := range t.kept {
		t.unref(st)
		delete(t.kept, m)
	}
}

// encode writes the whole stream.
func (st *stream) encode(ctx context.Context, src frozenDisk) error {
	sum := sha1.New()
	target, err := vmdk.NewTarget(vmdk.WriterObject(io.MultiWriter(sum, growing{st})), vmdk.TargetOptions{Size: src.m.size})
	if err != nil {
		return fmt.Errorf("encode %s: %w", src.m.name, err)
	}
	var n disk.Counters
	if _, err := disk.Copy(ctx, target, src, disk.CopyOptions{Counters: &n}); err != nil {
		return fmt.Errorf("encode %s: %w", src.m.name, err)
	}
	sha256, _ := target.Sum()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sha1, st.sha256 = hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(sha256[:])
	st.populated = src.m.size - n.Zero.Load()
	return nil
}

// growing appends to a stream and wakes its readers.
type growing struct{ st *stream }

func (g growing) Write(p []byte) (int, error) {
	st := g.st
	if _, err := st.f.WriteAt(p, st.size); err != nil { // only the encoder changes size
		return 0, fmt.Errorf("encode: %w", err)
	}
	st.mu.Lock()
	st.size += int64(len(p))
	st.mu.Unlock()
	st.grown.Broadcast()
	return len(p), nil
}

func (st *stream) finish(err error) {
	st.mu.Lock()
	st.done, st.err = true, err
	st.mu.Unlock()
	st.grown.Broadcast()
}

func (st *stream) failed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err != nil
}

// wait returns how long the stream is, once it is longer than pos, complete, or
// ctx is done.
func (st *stream) wait(ctx context.Context, pos int64) (size int64, done bool, err error) {
	stop := context.AfterFunc(ctx, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.grown.Broadcast()
	})
	defer stop()
	st.mu.Lock()
	defer st.mu.Unlock()
	for st.size <= pos && !st.done && ctx.Err() == nil {
		st.grown.Wait()
	}
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	return st.size, st.done, st.err
}

// complete waits for the end of the stream and returns its length.
func (st *stream) complete(ctx context.Context) (int64, error) {
	for pos := int64(0); ; {
		size, done, err := st.wait(ctx, pos)
		if done || err != nil {
			return size, err
		}
		pos = size
	}
}
