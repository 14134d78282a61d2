package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Finding is something that is wrong with a log.
type Finding struct {
	Kind string `json:"kind"` // see the constants
	From int64  `json:"from"` // places
	To   int64  `json:"to"`
	Text string `json:"text"`
}

// The kinds of findings.
const (
	Edited    = "edited"    // the entry is not what was logged
	Deleted   = "deleted"   // the entry is gone, and retention did not do it
	Reordered = "reordered" // the entry stands where another was logged
	Truncated = "truncated" // a signed checkpoint tells of more entries
	WentBack  = "went_back" // a checkpoint from outside tells of more, or of others
	Unsigned  = "unsigned"  // no good signature covers it
)

const (
	maxFaults = 1000          // entries that are kept to tell moved ones from edited ones
	maxShown  = 2 * maxFaults // findings
)

// Report is the result of a verification.
type Report struct {
	Size       int64     `json:"size"`    // places in the log
	Entries    int64     `json:"entries"` // that are here
	Removed    int64     `json:"removed"` // by retention, as entries say
	Hidden     int64     `json:"hidden"`  // other tenants'
	Checkpoint string    `json:"checkpoint,omitempty"`
	Findings   []Finding `json:"findings"`
}

// Verifier checks a log line by line. Finish tells the result.
type Verifier struct {
	keys    Keys
	anchors []Checkpoint // kept outside of the log, smallest first
	report  Report

	next   int64 // the place that is to come
	tree   accumulator
	torn   bool   // places are missing: no root can be computed any more
	gaps   []span // places that were skipped
	absent []span // places without entry
	told   []span // places whose removal an entry tells of
	wrong  []Line // whose leaf has another hash
	good   int64  // size of the last checkpoint that agrees
	signed int64  // size of the largest checkpoint with a good signature
	bad    bool   // a checkpoint did not agree
	ahead  []Checkpoint
}

// NewVerifier makes a Verifier. anchors are checkpoints that were kept elsewhere.
func NewVerifier(keys Keys, anchors ...Checkpoint) *Verifier {
	anchors = slices.Clone(anchors)
	slices.SortFunc(anchors, func(a, b Checkpoint) int { return int(min(max(a.Size-b.Size, -1), 1)) })
	return &Verifier{keys: keys, anchors: anchors, next: 1, report: Report{Findings: []Finding{}}}
}

func (v *Verifier) findf(kind string, from, to int64, format string, args ...any) {
	if len(v.report.Findings) < maxShown {
		v.report.Findings = append(v.report.Findings, Finding{kind, from, to, fmt.Sprintf(format, args...)})
	}
}

// Line takes the next line. One without a place brings only a checkpoint.
func (v *Verifier) Line(l Line) {
	if l.Pos > 0 {
		v.place(l)
	}
	if l.Checkpoint != "" {
		v.checkpoint(l)
	}
	for len(v.anchors) > 0 && v.anchors[0].Size < v.next {
		v.anchor(v.anchors[0])
		v.anchors = v.anchors[1:]
	}
}

func (v *Verifier) place(l Line) {
	switch {
	case l.Pos > v.next:
		v.gaps = append(v.gaps, span{v.next, l.Pos - 1})
		v.torn = true
	case l.Pos < v.next:
		v.torn = true
		if !slices.ContainsFunc(v.gaps, func(s span) bool { return s.from <= l.Pos && l.Pos <= s.to }) {
			v.findf(Reordered, l.Pos, l.Pos, "place %d is taken twice", l.Pos)
			return
		}
		v.gaps = without(v.gaps, []span{{l.Pos, l.Pos}})
		v.findf(Reordered, l.Pos, l.Pos, "entry %d stands behind entry %d", l.Pos, v.next-1)
		v.entry(l)
		return
	}
	v.next = l.Pos + 1
	v.tree.add(l.Hash)
	v.entry(l)
}

func (v *Verifier) entry(l Line) {
	switch {
	case l.Leaf == "" && l.Hidden:
		v.report.Hidden++
	case l.Leaf == "":
		v.absent = add(v.absent, l.Pos)
	case tlog.RecordHash([]byte(l.Leaf)) != l.Hash:
		v.report.Entries++
		if len(v.wrong) < maxFaults {
			v.wrong = append(v.wrong, l)
		} else {
			v.findf(Edited, l.Pos, l.Pos, "entry %d is not what was logged", l.Pos)
		}
	default:
		v.report.Entries++
		v.removal(l)
	}
}

// removal notes what a good entry tells of removed ones before it.
func (v *Verifier) removal(l Line) {
	if !strings.Contains(l.Leaf, `"removed"`) {
		return
	}
	var e leaf
	if json.Unmarshal([]byte(l.Leaf), &e) != nil || e.Kind != removalKind || e.Pos != l.Pos {
		return
	}
	for _, s := range parsePlaces(e.Facts["removed"]) {
		if s.to < l.Pos {
			v.told = append(v.told, s)
		}
	}
}

// checkpoint judges a checkpoint that is part of the log.
func (v *Verifier) checkpoint(l Line) {
	c, err := v.keys.Open(l.Checkpoint)
	if err != nil {
		v.findf(Unsigned, l.Pos, l.Pos, "%v", err)
		return
	}
	v.signed = max(v.signed, c.Size)
	switch size := v.next - 1; {
	case c.Size > size:
		v.ahead = append(v.ahead, c)
	case v.torn || v.bad:
	case c.Size < size:
		v.findf(Unsigned, l.Pos, l.Pos, "the checkpoint at %d is that of %d entries", l.Pos, c.Size)
	case v.tree.root() == c.Root:
		v.good, v.report.Checkpoint = c.Size, c.Note
	default:
		v.bad = true
		v.findf(Edited, v.good+1, c.Size, "an entry between %d and %d is not what was logged: the checkpoint that %s signed at %s does not agree",
			v.good+1, c.Size, c.Node, c.Time.Format(timeForm))
	}
}

const timeForm = "2006-01-02 15:04:05 MST"

// anchor compares with a checkpoint that was kept elsewhere, of the size that the
// tree has.
func (v *Verifier) anchor(c Checkpoint) {
	switch {
	case v.torn || v.bad:
	case c.Size == v.next-1 && v.tree.root() != c.Root:
		v.bad = true
		v.findf(WentBack, v.good+1, c.Size, "the first %d entries are not those that %s signed at %s: the log was written anew behind %d",
			c.Size, c.Node, c.Time.Format(timeForm), v.good)
	}
}

// Finish returns the result.
func (v *Verifier) Finish() Report {
	r := &v.report
	r.Size = v.next - 1
	v.moved()
	for _, s := range v.gaps {
		v.findf(Deleted, s.from, s.to, "entries %s are not here", s)
	}
	lost := without(v.absent, v.told)
	for _, s := range v.absent {
		r.Removed += s.to - s.from + 1
	}
	for _, s := range lost {
		r.Removed -= s.to - s.from + 1
		v.findf(Deleted, s.from, s.to, "entry %s is gone, and no retention tells of it", s)
	}
	for _, c := range v.ahead {
		if c.Size > r.Size {
			v.findf(Truncated, r.Size+1, c.Size, "the log ends at %d, but %s signed %d entries at %s: the end was cut off", r.Size, c.Node, c.Size, c.Time.Format(timeForm))
			break
		}
	}
	for _, c := range v.anchors {
		v.findf(WentBack, r.Size+1, c.Size, "the log has %d entries, but %s signed %d at %s: the end was cut off, or an old copy was restored",
			r.Size, c.Node, c.Size, c.Time.Format(timeForm))
	}
	if v.signed < r.Size {
		v.findf(Unsigned, v.signed+1, r.Size, "no checkpoint covers the entries from %d to %d", v.signed+1, r.Size)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(min(max(a.From-b.From, -1), 1)) })
	return *r
}

// moved tells entries that stand in another's place from edited ones.
func (v *Verifier) moved() {
	places := map[Hash]int64{}
	for _, l := range v.wrong {
		places[l.Hash] = l.Pos
	}
	for _, l := range v.wrong {
		from := int64(0)
		for hash, pos := range places {
			if pos != l.Pos && tlog.RecordHash([]byte(atPlace(l.Leaf, pos))) == hash {
				from = pos
			}
		}
		if from > 0 {
			v.findf(Reordered, l.Pos, l.Pos, "at %d stands the entry that was logged at %d", l.Pos, from)
		} else {
			v.findf(Edited, l.Pos, l.Pos, "entry %d is not what was logged", l.Pos)
		}
	}
}

// atPlace is a leaf as it would be at another place.
func atPlace(leaf string, pos int64) string {
	_, rest, _ := strings.Cut(leaf, ",")
	return fmt.Sprintf(`{"pos":%d,%s`, pos, rest)
}

// accumulator computes the root of a growing tree: the roots of its full subtrees,
// the largest first.
type accumulator struct {
	size  int64
	roots []Hash
}

func (a *accumulator) add(h Hash) {
	for n := a.size; n&1 == 1; n >>= 1 {
		last := len(a.roots) - 1
		h, a.roots = tlog.NodeHash(a.roots[last], h), a.roots[:last]
	}
	a.roots, a.size = append(a.roots, h), a.size+1
}

func (a *accumulator) root() Hash {
	if a.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // that of the empty tree
		return h
	}
	h := a.roots[len(a.roots)-1]
	for i := len(a.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(a.roots[i], h)
	}
	return h
}
