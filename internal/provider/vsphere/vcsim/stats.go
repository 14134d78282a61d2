package vcsim

import (
	"cmp"
	"slices"
	"sync"
)

// DiskTraffic is what a transport sent of one disk.
type DiskTraffic struct {
	VM        string // path below /DC/vm
	Disk      int32  // device key
	Transport Transport
	Requests  int   // with a body
	Bytes     int64 // sent in all
	// Again counts the bytes that had been sent before: positions of the disk
	// for Folder, of the encoded stream for NFC.
	Again int64
}

type stats struct {
	mu    sync.Mutex
	disks map[site]*traffic
}

type traffic struct {
	requests int
	bytes    int64
	again    int64
	seen     []extent // disjoint, ascending
}

func newStats() *stats { return &stats{disks: make(map[site]*traffic)} }

// Stats returns what was sent so far, ordered by VM, disk and transport.
func (s *Server) Stats() []DiskTraffic {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	all := make([]DiskTraffic, 0, len(s.stats.disks))
	for at, t := range s.stats.disks {
		all = append(all, DiskTraffic{
			VM: at.vm, Disk: at.disk, Transport: at.transport,
			Requests: t.requests, Bytes: t.bytes, Again: t.again,
		})
	}
	slices.SortFunc(all, func(a, b DiskTraffic) int {
		return cmp.Or(cmp.Compare(a.VM, b.VM), cmp.Compare(a.Disk, b.Disk), cmp.Compare(a.Transport, b.Transport))
	})
	return all
}

// ResetStats forgets what was sent so far.
func (s *Server) ResetStats() {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	clear(s.stats.disks)
}

// request counts a request.
func (t *stats) request(at site) { t.add(at, 1, 0, 0) }

// sent counts n bytes at a position.
func (t *stats) sent(at site, pos, n int64) { t.add(at, 0, pos, n) }

func (t *stats) add(at site, requests int, pos, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.disks[at]
	if d == nil {
		d = &traffic{}
		t.disks[at] = d
	}
	d.requests += requests
	if n > 0 {
		d.bytes += n
		d.again += n - d.cover(pos, n)
	}
}

// cover adds [pos, pos+n) to what was seen and returns how much of it is new.
func (t *traffic) cover(pos, n int64) int64 {
	fresh, end := n, pos+n
	first, _ := slices.BinarySearchFunc(t.seen, pos, func(e extent, at int64) int { return cmp.Compare(e.off+e.n, at) })
	last := first
	merged := extent{off: pos, n: n}
	for ; last < len(t.seen) && t.seen[last].off <= end; last++ {
		e := t.seen[last]
		fresh -= max(0, min(end, e.off+e.n)-max(pos, e.off))
		stop := max(merged.off+merged.n, e.off+e.n)
		merged.off = min(merged.off, e.off)
		merged.n = stop - merged.off
	}
	t.seen = slices.Replace(t.seen, first, last, merged)
	return fresh
}
