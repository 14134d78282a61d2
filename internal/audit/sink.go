package audit

import (
	"encoding/json"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Sink is a place outside of the database to which the log is carried, and how far.
type Sink struct {
	Name     string
	Kind     string    // file, syslog, otlp, s3
	Pos      int64     // the sink has what stands in the log up to here
	Took     time.Time // when it took something last; zero: never
	Failures int       // in a row, until now
	Error    string    // of the last one; empty: the last try went well
	Behind   int64     // places that it does not have
	Oldest   time.Time // when the first of them was logged; zero: it has everything
	Node     string    // which daemon carries, or did last
}

// State is how the log is.
type State struct {
	Size     int64     // places
	Signed   int64     // places that the last checkpoint covers
	SignedAt time.Time // zero: there is none
	Unsigned time.Time // when the oldest entry was made that none covers; zero: there is none
}

// State is current, behind, or failing: the last try went wrong.
func (s *Sink) State() string {
	switch {
	case s.Failures > 0:
		return "failing"
	case s.Behind > 0:
		return "behind"
	}
	return "current"
}

// Lag is how long the oldest entry has waited that the sink does not have.
func (s *Sink) Lag(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.Oldest))
}

// Entry reads the leaf as an auditor does. ok is false if there is none.
func (l *Line) Entry() (e Entry, ok bool) {
	var v struct {
		leaf

		Facts json.RawMessage `json:"facts"`
	}
	if l.Leaf == "" || json.Unmarshal([]byte(l.Leaf), &v) != nil {
		return Entry{}, false
	}
	r := Record{Pos: v.Pos, Seq: v.Seq, JobID: v.JobID, Tenant: v.Tenant, Kind: v.Kind, Actor: v.Actor, At: v.At, Data: string(v.Data), Facts: string(v.Facts)}
	return r.Entry(), true
}

// LeafHash hashes the leaf.
func (l *Line) LeafHash() Hash { return tlog.RecordHash([]byte(l.Leaf)) }
