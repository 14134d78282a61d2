package vsphere

import (
	"context"
	"crypto/sha1" // what older vCenters state
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"iter"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// errStopped tells that the consumer wants no more.
var errStopped = errors.New("the consumer stopped")

// nfcSource reads a disk through an HTTP-NFC lease, as it comes: one stream of
// a streamOptimized VMDK, whose grains are passed on compressed.
type nfcSource struct {
	frozen *frozen
	volume *volume

	mu     sync.Mutex
	info   disk.Info
	origin *disk.Origin
}

var (
	_ disk.Source  = (*nfcSource)(nil)
	_ disk.Checked = (*nfcSource)(nil)
)

// Info describes the disk. While the stream waits for its host, Reason says so.
func (s *nfcSource) Info() disk.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// Origin is what vCenter stated about the stream, after Blocks ended without an
// error; nil if it stated nothing.
func (s *nfcSource) Origin() *disk.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.origin
}

// Close frees nothing: a lease lives as long as Blocks.
func (s *nfcSource) Close() error { return nil }

// Blocks always reads the whole stream, and drops what lies before from. It
// waits for a free slot on the host, and holds a lease of its own while it
// runs, so that a failure costs one disk. Kinds: Corrupt (not what the host
// sent, or damaged), Unavailable and Timeout (cut, lease lost).
func (s *nfcSource) Blocks(ctx context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		free, err := s.slot(ctx)
		if err != nil {
			yield(disk.Block{}, err)
			return
		}
		defer free()
		err = s.frozen.leased(ctx, func(l *lease) error { return s.run(ctx, l, from, yield) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(disk.Block{}, classify(ctx, err, "read "+s.volume.Label+" of "+s.frozen.machine.Path))
		}
	}
}

// slot waits for the right to read from the VM's host.
func (s *nfcSource) slot(ctx context.Context) (func(), error) {
	host, z := s.frozen.machine.Host, s.frozen
	chosen := s.Info().Reason
	waited := false
	free, err := z.streams.acquire(ctx, host, func() {
		waited = true
		s.explain(chosen + "; waits for a free NFC slot on host " + host)
		z.observer.hostWait(host, true)
	})
	if waited {
		s.explain(chosen)
		z.observer.hostWait(host, false)
	}
	return free, err
}

func (s *nfcSource) explain(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Reason = reason
}

// leased runs f with a lease: its own, or the one that locks the VM.
func (z *frozen) leased(ctx context.Context, f func(*lease) error) (err error) {
	if z.shared != nil {
		return f(z.shared)
	}
	l, err := z.lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if e := l.end(ctx, err == nil); e != nil {
			z.log.WarnContext(ctx, "an NFC lease could not be ended, it is tried again", "lease", l.ref.Value, "error", e)
			z.mu.Lock()
			z.stuck = append(z.stuck, l)
			z.mu.Unlock()
		}
	}()
	return f(l)
}

// run reads the stream to its end and compares it with vCenter's statement.
func (s *nfcSource) run(ctx context.Context, l *lease, from int64, yield func(disk.Block, error) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.lost, func() { cancel(context.Cause(l.lost)) })()
	u, err := l.urlOf(s.volume)
	if err != nil {
		return err
	}
	in := &meter{source: s, algorithm: l.checksum(ctx, u.Key)}
	in.sum = newHash(in.algorithm)
	resp, done, err := s.frozen.fetch(ctx, u)
	if err != nil {
		return err
	}
	defer done()
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	in.r = paced(ctx, resp.Body, s.frozen.options.Limit)
	if err := s.decode(in, l, from, yield); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errStopped) {
			return cause // lease lost, cancelled
		}
		return err
	}
	return s.compare(ctx, l, u.Key, in)
}

// decode hands on the grains of the stream.
func (s *nfcSource) decode(in *meter, l *lease, from int64, yield func(disk.Block, error) bool) error {
	defer in.report()
	stream, err := vmdk.ReadStream(in, vmdk.StreamOptions{Size: s.volume.CapacityBytes})
	if err != nil {
		return truncated(err)
	}
	for b, err := range stream.Blocks() {
		if err != nil {
			return truncated(err)
		}
		l.percent.Store(int32(min(b.Off*100/s.volume.CapacityBytes, 99)))
		if b.Off < from {
			b.Release()
			continue
		}
		if !yield(b, nil) {
			return errStopped
		}
	}
	return nil
}

// truncated makes a stream that the host ended early a failed transfer, which
// is retried, and not a damaged disk.
func truncated(err error) error {
	if e := fault.As(err); e.Kind == fault.Corrupt && e.Code == vmdk.CodeTruncated {
		return cut(err)
	}
	return err
}

// checksum asks for SHA-256 in the manifest and returns the algorithm that it
// will state.
func (l *lease) checksum(ctx context.Context, key string) string {
	_, err := methods.HttpNfcLeaseSetManifestChecksumType(ctx, l.client, &types.HttpNfcLeaseSetManifestChecksumType{
		This:                      l.ref,
		DeviceUrlsToChecksumTypes: []types.KeyValue{{Key: key, Value: string(types.HttpNfcLeaseManifestEntryChecksumTypeSha256)}},
	})
	if err != nil {
		return string(types.HttpNfcLeaseManifestEntryChecksumTypeSha1)
	}
	return string(types.HttpNfcLeaseManifestEntryChecksumTypeSha256)
}

func newHash(algorithm string) hash.Hash {
	if algorithm == string(types.HttpNfcLeaseManifestEntryChecksumTypeSha256) {
		return sha256.New()
	}
	return sha1.New()
}

// compare checks what arrived against what the host says that it sent. A
// vCenter that does not say is no error: the stream proves its own completeness.
func (s *nfcSource) compare(ctx context.Context, l *lease, key string, in *meter) error {
	res, err := methods.HttpNfcLeaseGetManifest(ctx, l.client, &types.HttpNfcLeaseGetManifest{This: l.ref})
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.frozen.log.WarnContext(ctx, "vCenter does not state a checksum of what it sent", "disk", s.volume.Key, "error", err)
		return nil
	}
	for _, e := range res.Returnval {
		stated := e.Sha1
		if e.ChecksumType == in.algorithm && e.Checksum != "" {
			stated = e.Checksum
		} else if in.algorithm != string(types.HttpNfcLeaseManifestEntryChecksumTypeSha1) {
			stated = ""
		}
		if e.Key != key || stated == "" {
			continue
		}
		have := hex.EncodeToString(in.sum.Sum(nil))
		if !strings.EqualFold(stated, have) || e.Size > 0 && e.Size != in.bytes {
			return fault.Newf(fault.Corrupt, "HX-VSPHERE-076", "the network or a proxy in between changes data: retry, and check its hardware",
				"%s did not arrive as it was sent: %d bytes with %s %s, the host sent %d with %s",
				s.volume.Label, in.bytes, in.algorithm, have, e.Size, stated)
		}
		s.mu.Lock()
		s.origin = &disk.Origin{Algorithm: in.algorithm, Sum: have, Bytes: in.bytes}
		s.mu.Unlock()
		return nil
	}
	s.frozen.log.WarnContext(ctx, "vCenter's manifest does not list the disk", "disk", s.volume.Key)
	return nil
}

// reportEvery is how many bytes are counted before the observer hears of them.
const reportEvery = 1 << 20

// meter hashes and counts what passes.
type meter struct {
	r         io.Reader
	source    *nfcSource
	algorithm string
	sum       hash.Hash
	bytes     int64
	reported  int64
}

// Read passes on.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	m.bytes += int64(n)
	if m.bytes-m.reported >= reportEvery {
		m.report()
	}
	return n, err
}

func (m *meter) report() {
	s := m.source
	s.frozen.observer.transferred(s.frozen.machine.ID, s.volume.Key, provider.TransportNFC, m.bytes-m.reported)
	m.reported = m.bytes
}
