package vcsim

import (
	"slices"
	"sync"
	"time"
)

// Transport is a way by which bytes leave the simulator.
type Transport string

// The transports.
const (
	SDK    Transport = "sdk"    // SOAP calls
	Folder Transport = "folder" // datastore files by HTTP
	NFC    Transport = "nfc"    // lease streams
)

// FaultKind says what goes wrong.
type FaultKind int

// The kinds of faults. Those of a response apply to all transports unless they
// say otherwise.
const (
	// Unavailable answers with 503.
	Unavailable FaultKind = iota
	// Delay waits Fault.Delay before it answers.
	Delay
	// Cut closes the connection after Fault.After bytes of the body.
	Cut
	// Stall sends nothing more after Fault.After bytes of the body, until the
	// client goes away.
	Stall
	// Slow sends Fault.Rate bytes per second.
	Slow
	// CorruptContent flips one byte at offset Fault.After of the virtual disk.
	// On NFC the stream stays well-formed, only the manifest of the lease
	// knows what was meant.
	CorruptContent
	// CorruptGrain damages the compressed data of the first grain at or after
	// offset Fault.After of the virtual disk. NFC only.
	CorruptGrain
	// LoseLease times a lease out after Fault.After bytes of a stream. NFC only.
	LoseLease
	// ExpireSession ends all sessions before the request is looked at; with
	// Skip, after so many requests.
	ExpireSession
	// FailCreateSnapshot makes the task that takes a snapshot fail.
	FailCreateSnapshot
	// FailRemoveSnapshot makes the task that removes snapshots fail.
	FailRemoveSnapshot
)

// Fault is one injected fault. Empty selectors match everything.
type Fault struct {
	Kind      FaultKind
	Transport Transport
	VM        string // inventory path
	Disk      int32  // device key

	After int64         // bytes; see the kind
	Rate  int64         // bytes per second, for Slow
	Delay time.Duration // for Delay

	Skip  int // let so many matches pass first
	Times int // how often it strikes; 0: every time
}

// site is where a fault may strike.
type site struct {
	transport Transport
	vm        string // path below /DC/vm
	disk      int32
}

func (f *Fault) matches(kind FaultKind, at site) bool {
	return f.Kind == kind &&
		(f.Transport == "" || at.transport == "" || f.Transport == at.transport) &&
		(f.VM == "" || relative(f.VM) == at.vm) &&
		(f.Disk == 0 || f.Disk == at.disk)
}

// Faults is the set of injected faults of a server. It may be changed at any
// time, from any goroutine.
type Faults struct {
	mu    sync.Mutex
	armed []*Fault
	fired map[FaultKind]int
}

func newFaults() *Faults { return &Faults{fired: make(map[FaultKind]int)} }

// Faults returns the server's faults.
func (s *Server) Faults() *Faults { return s.faults }

// Add arms a fault. Of several that match, the one added first strikes.
func (f *Faults) Add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = append(f.armed, &fault)
}

// Clear disarms all faults. Streams that stall go on.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = nil
}

// Fired tells how often faults of a kind have struck.
func (f *Faults) Fired(kind FaultKind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired[kind]
}

// take returns the fault of a kind that strikes at a site now, if any, and
// counts it.
func (f *Faults) take(kind FaultKind, at site) (Fault, bool) {
	return f.takeIf(kind, at, func(*Fault) bool { return true })
}

// takeIf is take with one more condition.
func (f *Faults) takeIf(kind FaultKind, at site, also func(*Fault) bool) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.armed {
		if !a.matches(kind, at) || !also(a) {
			continue
		}
		if a.Skip > 0 {
			a.Skip--
			continue
		}
		hit := *a
		if a.Times > 0 {
			if a.Times--; a.Times == 0 {
				f.armed = slices.Delete(f.armed, i, i+1)
			}
		}
		f.fired[kind]++
		return hit, true
	}
	return Fault{}, false
}
