package disk

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memObject is an Object in memory that a test can cut back to its last Sync.
type memObject struct {
	mu     sync.Mutex
	data   []byte
	synced []byte
}

func (o *memObject) WriteAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if need := off + int64(len(p)); need > int64(len(o.data)) {
		o.data = append(o.data, make([]byte, need-int64(len(o.data)))...)
	}
	return copy(o.data[off:], p), nil
}

func (o *memObject) Truncate(size int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if size < int64(len(o.data)) {
		o.data = o.data[:size]
	}
	o.data = append(o.data, make([]byte, size-int64(len(o.data)))...)
	return nil
}

func (o *memObject) Sync() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.synced = bytes.Clone(o.data)
	return nil
}

func (o *memObject) crash() { o.data = bytes.Clone(o.synced) }

// memSource yields content in a mix of encodings, with faults where asked.
type memSource struct {
	content []byte
	encode  func(i int, leaf []byte) (Encoding, []byte)
	fail    int64 // offset at which to fail, -1: never
	mangle  func(b *Block)
	reads   int64
}

func (s *memSource) Info() Info   { return Info{Key: "k", Size: int64(len(s.content))} }
func (s *memSource) Close() error { return nil }

var errCut = fault.New(fault.Unavailable, "HX-TEST-001", "cut", "")

func (s *memSource) Blocks(_ context.Context, from int64) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		for off := from; off < int64(len(s.content)); off += GrainSize {
			leaf := s.content[off:min(off+GrainSize, int64(len(s.content)))]
			if s.fail >= 0 && off >= s.fail {
				yield(Block{}, errCut)
				return
			}
			if IsZero(leaf) && off/GrainSize%2 == 0 {
				continue // a gap
			}
			enc, data := s.encode(int(off/GrainSize), leaf)
			b := NewBlock(off, int64(len(leaf)), enc, data, nil)
			if s.mangle != nil {
				s.mangle(&b)
			}
			s.reads += b.Len
			if !yield(b, nil) {
				return
			}
		}
	}
}

func mixed(i int, leaf []byte) (Encoding, []byte) {
	var buf bytes.Buffer
	switch i % 4 {
	case 0:
		w := zlib.NewWriter(&buf)
		w.Write(leaf)
		w.Close()
		return Zlib, buf.Bytes()
	case 1:
		w, _ := flate.NewWriter(&buf, 6)
		w.Write(leaf)
		w.Close()
		return Deflate, append(buf.Bytes(), make([]byte, 300)...) // padded to a sector
	case 2:
		w, _ := zstd.NewWriter(nil)
		defer w.Close()
		return Zstd, append(w.EncodeAll(leaf, nil), make([]byte, 300)...)
	default:
		return Raw, bytes.Clone(leaf)
	}
}

func plain(_ int, leaf []byte) (Encoding, []byte) { return Raw, leaf }

func random(seed uint64, size int64) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := sparse(rng, size)
	for i := 0; i < len(p); i += 1 + rng.IntN(3000) {
		if p[i/GrainSize*GrainSize] != 0 {
			p[i] = byte(rng.Uint32())
		}
	}
	return p
}

func TestCopyMovesEveryEncoding(t *testing.T) {
	for _, size := range []int64{0, 512, GrainSize, GrainSize + 512, 300*GrainSize + 1024} {
		content := random(uint64(size), size)
		var n Counters
		obj := new(memObject)
		res, err := Copy(t.Context(), NewRawTarget(obj, size), &memSource{content: content, encode: mixed, fail: -1}, CopyOptions{Counters: &n})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(obj.data, content) {
			t.Fatalf("size %d: content differs", size)
		}
		if res.Root != mth(cut(content)) {
			t.Fatalf("size %d: root differs", size)
		}
		if n.Offset.Load() != size {
			t.Fatalf("size %d: progress ends at %d", size, n.Offset.Load())
		}
	}
}

func TestCopyRefusesBadBlocks(t *testing.T) {
	content := bytes.Repeat([]byte{7}, 20*GrainSize)
	cases := map[string]struct {
		mangle func(*Block)
		kind   fault.Kind
	}{
		"flipped bit in a grain": {func(b *Block) {
			if b.Enc == Zlib && b.Off > 5*GrainSize {
				b.Data = bytes.Clone(b.Data)
				b.Data[len(b.Data)/2] ^= 4
			}
		}, fault.Corrupt},
		"grain inflates short": {func(b *Block) {
			if b.Off == 8*GrainSize {
				b.Enc, b.Data = mixed(0, make([]byte, 100))
			}
		}, fault.Corrupt},
		"grain inflates long": {func(b *Block) {
			if b.Off == 8*GrainSize {
				b.Enc, b.Data = mixed(0, make([]byte, GrainSize+1))
			}
		}, fault.Corrupt},
		"truncated zstd": {func(b *Block) {
			if b.Enc == Zstd {
				b.Data = b.Data[:8]
			}
		}, fault.Corrupt},
		"backwards": {func(b *Block) {
			if b.Off == 8*GrainSize {
				b.Off = 7 * GrainSize
			}
		}, fault.Corrupt},
		"off the grid": {func(b *Block) { b.Off += 512 }, fault.Corrupt},
		"beyond the end": {func(b *Block) {
			if b.Off == 19*GrainSize {
				b.Off += GrainSize
			}
		}, fault.Corrupt},
		"short raw": {func(b *Block) {
			if b.Enc == Raw {
				b.Data = b.Data[:10]
			}
		}, fault.Corrupt},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			src := &memSource{content: content, encode: mixed, fail: -1, mangle: c.mangle}
			_, err := Copy(t.Context(), NewRawTarget(new(memObject), int64(len(content))), src, CopyOptions{})
			if !fault.Is(err, c.kind) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestCopyReturnsTheSourceError(t *testing.T) {
	content := random(9, 200*GrainSize)
	for _, at := range []int64{0, GrainSize, 100 * GrainSize, 199 * GrainSize} {
		_, err := Copy(t.Context(), NewRawTarget(new(memObject), int64(len(content))), &memSource{content: content, encode: plain, fail: at}, CopyOptions{})
		if !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
}

// A panic of the source, of an encoder or of the target is an error of the copy: the
// process goes on, and no goroutine is left.
func TestCopyOutlivesPanics(t *testing.T) {
	content := random(9, 200*GrainSize)
	for name, c := range map[string]struct {
		dst Target
		src *memSource
	}{
		"source": {NewRawTarget(new(memObject), int64(len(content))), &memSource{content: content, encode: plain, fail: -1, mangle: func(b *Block) {
			if b.Off >= 100*GrainSize {
				panic("hunter2")
			}
		}}},
		"encoder": {panicking{Target: NewRawTarget(new(memObject), int64(len(content))), encode: true}, &memSource{content: content, encode: plain, fail: -1}},
		"target":  {panicking{Target: NewRawTarget(new(memObject), int64(len(content)))}, &memSource{content: content, encode: plain, fail: -1}},
	} {
		_, err := Copy(t.Context(), c.dst, c.src, CopyOptions{})
		if err == nil || fault.As(err).Code != fault.CodePanic || strings.Contains(fault.Detail(err), "hunter2") {
			t.Errorf("%s: %s", name, fault.Detail(err))
		}
	}
}

type panicking struct {
	Target

	encode bool
}

func (p panicking) Encode(b *Block) error {
	if p.encode && b.Off >= 50*GrainSize {
		panic("hunter2")
	}
	return p.Target.Encode(b)
}

func (p panicking) Put(ctx context.Context, b Block) error {
	if !p.encode && b.Off >= 50*GrainSize {
		panic("hunter2")
	}
	return p.Target.Put(ctx, b)
}

func TestCopyStopsWhenCancelled(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	content := bytes.Repeat([]byte{1}, 500*GrainSize)
	src := &memSource{content: content, encode: plain, fail: -1, mangle: func(b *Block) {
		if b.Off == 100*GrainSize {
			cancel(why)
		}
	}}
	_, err := Copy(ctx, NewRawTarget(new(memObject), int64(len(content))), src, CopyOptions{})
	if !errors.Is(err, why) {
		t.Fatalf("got %v", err)
	}
	if src.reads > 300*GrainSize {
		t.Fatalf("read on for %d grains", src.reads/GrainSize)
	}
}

// TestCopyResumes cuts a copy at random places, loses what was not synced, and
// goes on, seeking or re-reading.
func TestCopyResumes(t *testing.T) {
	const grains = 5000
	content := bytes.Repeat([]byte{0}, grains*GrainSize+512)
	for i := range grains {
		if i%50 < 40 {
			content[i*GrainSize+i%GrainSize] = byte(1 + i%255)
		}
	}
	size := int64(len(content))
	for _, rehash := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(5, 6))
		obj := new(memObject)
		var last *Checkpoint
		var records [][]byte
		save := func(_ context.Context, c Checkpoint, r []byte) error {
			last, records = &c, append(records, r)
			return nil
		}
		for attempt := 0; ; attempt++ {
			src := &memSource{content: content, encode: plain, fail: rng.Int64N(size * 2)}
			if attempt == 0 {
				src.fail = 2500 * GrainSize
			}
			target := NewRawTarget(obj, size)
			if err := target.Replay(records); err != nil {
				t.Fatal(err)
			}
			res, err := Copy(t.Context(), target, src, CopyOptions{Checkpoint: save, Resume: last, Rehash: rehash})
			if err == nil {
				if res.Root != mth(cut(content)) {
					t.Fatal("another root")
				}
				break
			}
			if last == nil {
				t.Fatal("no checkpoint was made")
			}
			obj.crash()
		}
		if !bytes.Equal(obj.data, content) {
			t.Fatal("content differs")
		}
	}
}

func TestCopyRefusesAnotherDiskAtResume(t *testing.T) {
	content := bytes.Repeat([]byte{3}, 3000*GrainSize)
	size := int64(len(content))
	var last *Checkpoint
	_, err := Copy(t.Context(), NewRawTarget(new(memObject), size), &memSource{content: content, encode: plain, fail: 2000 * GrainSize},
		CopyOptions{Checkpoint: func(_ context.Context, c Checkpoint, _ []byte) error { last = &c; return nil }})
	if !errors.Is(err, errCut) || last == nil {
		t.Fatal(err, last)
	}
	content[17] ^= 1
	_, err = Copy(t.Context(), NewRawTarget(new(memObject), size), &memSource{content: content, encode: plain, fail: -1}, CopyOptions{Resume: last, Rehash: true})
	if !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
}

// TestCheckpointsAreMadeInHoles: a source that had to read zeros to know them
// does not read them all again after a crash.
func TestCheckpointsAreMadeInHoles(t *testing.T) {
	const size = 10 * CheckpointBytes
	zeros := func(yield func(Block, error) bool) {
		for off := int64(0); off < size; off += 1 << 20 {
			if !yield(NewBlock(off, 1<<20, Zero, nil, nil), nil) {
				return
			}
		}
	}
	for rehash, want := range map[bool]int{false: 9, true: 0} {
		made := 0
		o := CopyOptions{Checkpoint: func(context.Context, Checkpoint, []byte) error { made++; return nil }}
		if rehash {
			state, err := NewDigest(size).MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			o.Rehash, o.Resume = true, &Checkpoint{Digest: state}
		}
		if _, err := Copy(t.Context(), NewRawTarget(new(memObject), size), seqSource{size, zeros}, o); err != nil {
			t.Fatal(err)
		}
		if made < want || rehash && made > 0 {
			t.Errorf("rehash %v: %d checkpoints, want %d", rehash, made, want)
		}
	}
}

// seqSource yields what a test says.
type seqSource struct {
	size   int64
	blocks iter.Seq2[Block, error]
}

func (s seqSource) Info() Info                                            { return Info{Size: s.size} }
func (s seqSource) Close() error                                          { return nil }
func (s seqSource) Blocks(context.Context, int64) iter.Seq2[Block, error] { return s.blocks }
