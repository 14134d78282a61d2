package vcsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// nfcBusy is what hostd says when its NFC memory is used up. The limit of real
// hosts is one of buffer memory (48 MB in all), not of streams; what a client
// sees is the same.
const nfcBusy = "503 Service Unavailable: NfcFssrvrProcessErrorMsg: received NFC error 5 from server: " +
	"Failed to allocate the requested 24117272 bytes"

// serveNFC serves the files of leases, /nfc/<token>/<name>, as an ESXi host
// does: the token is the only authentication, disks are sent as streamOptimized
// VMDK in chunks of unknown total length, and Range is ignored.
func (s *Server) serveNFC(w http.ResponseWriter, r *http.Request) {
	token, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/nfc/"), "/")
	l := s.leaseOf(token)
	if l == nil || !l.isReady() {
		http.NotFound(w, r)
		return
	}
	i := slices.IndexFunc(l.items, func(it item) bool { return it.name == name })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	it := l.items[i]
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if !s.admit(w, r, it.site) {
		return
	}
	if it.disk == nil {
		s.sendFile(w, r, l, it)
		return
	}
	if !s.occupy(l.host) {
		http.Error(w, nfcBusy, http.StatusServiceUnavailable)
		return
	}
	defer s.vacate(l.host)
	w.Header().Set("Content-Type", "application/x-vnd.vmware-streamVmdk")
	if r.Method == http.MethodHead {
		return
	}
	if err := s.sendDisk(w, r, l, it); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (l *lease) isReady() bool {
	ready := false
	l.context().WithLock(l, func() { ready = l.State == types.HttpNfcLeaseStateReady })
	return ready
}

// occupy takes one of the host's streams.
func (s *Server) occupy(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[host] >= s.opts.StreamsPerHost {
		s.refused++
		return false
	}
	s.busy[host]++
	return true
}

// Refused tells how many NFC streams hosts had no memory for.
func (s *Server) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

func (s *Server) vacate(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[host]--
}

// sendFile sends a small file.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, l *lease, it item) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(it.data)))
	if r.Method == http.MethodHead {
		return
	}
	if _, err := s.newBody(w, r, it.site).Write(it.data); err != nil {
		panic(http.ErrAbortHandler)
	}
	l.noteFile(it)
}

// sendDisk sends the stream of a disk. It ends with the lease.
func (s *Server) sendDisk(w http.ResponseWriter, r *http.Request, l *lease, it item) error {
	clean, err := s.streams.open(it.disk, l.snap, -1)
	if err != nil {
		return err
	}
	defer s.streams.release(clean)
	sent := clean
	if f, hit := s.faults.take(CorruptContent, it.site); hit {
		if sent, err = s.streams.open(it.disk, l.snap, f.After); err != nil {
			return err
		}
		defer s.streams.release(sent)
	}

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(l.ctx, func() {
		cancel()
		// Wakes a write that the client does not read.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	})()
	s.stats.request(it.site)
	out := s.newBody(w, r.WithContext(ctx), it.site)
	out.note = func(pos, n int64) { s.stats.sent(it.site, pos, n) }
	out.check = ctx.Err
	if f, hit := s.faults.take(LoseLease, it.site); hit {
		out.stops = append(out.stops, stop{f.After, func() error { l.expire(); return errCut }})
	}
	if err := s.copyStream(ctx, out, sent, it); err != nil {
		return err
	}
	if _, err := clean.complete(ctx); err != nil {
		return err
	}
	l.note(types.HttpNfcLeaseManifestEntry{
		Key: it.key, Sha1: clean.sha1, Size: out.sent, Disk: true, Capacity: it.disk.size, PopulatedSize: clean.populated,
	}, clean.sha256)
	return nil
}

// copyStream sends a stream while it grows, and damages a grain if a fault
// says so.
func (s *Server) copyStream(ctx context.Context, w io.Writer, st *stream, it item) error {
	var bad damage
	if f, hit := s.faults.take(CorruptGrain, it.site); hit {
		var err error
		if bad, err = st.damageAt(ctx, f.After); err != nil {
			return err
		}
	}
	buf := getChunk()
	defer chunks.Put(buf)
	for pos := int64(0); ; {
		size, done, err := st.wait(ctx, pos)
		if err != nil {
			return err
		}
		for pos < size {
			p := (*buf)[:min(int64(len(*buf)), size-pos)]
			if _, err := st.f.ReadAt(p, pos); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read stream: %w", err)
			}
			bad.apply(p, pos)
			if _, err := w.Write(p); err != nil {
				return err
			}
			pos += int64(len(p))
		}
		if done {
			return nil
		}
	}
}
