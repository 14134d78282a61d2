package storetest

import (
	"crypto/ed25519"
	"encoding/json"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// sign lets a key sign the log and returns who can check it.
func (w *world) sign() audit.Keys {
	w.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	w.must(err)
	signer, err := audit.NewSigner("n1", private)
	w.must(err)
	w.SignLog(signer)
	return audit.Keys{public}
}

// placesOf lists the places of entries.
func (w *world) placesOf(r service.AuditReader, q service.AuditQuery, before int64) (places []int64) {
	w.Helper()
	q.Limit = max(q.Limit, 100)
	records, err := r.Entries(w.ctx, q, before)
	w.must(err)
	for _, e := range records {
		places = append(places, e.Pos)
	}
	return places
}

// testAuditEntries: an auditor finds entries by what they tell, newest first; one of
// a tenant finds its own, and the zero scope none.
func testAuditEntries(w *world) {
	begin := w.now()
	mine := w.submit(func(s *job.Spec) { s.VMPath = "/DC/vm/100%_!sure" }) // 1
	theirs := w.submitTo(w.theirs)                                         // 2
	w.advance(time.Hour)
	w.cancel(mine.ID, "enough") // 3
	w.must(w.AppendRefusals(w.ctx, []event.Refusal{{Tenant: "ours", Actor: "mallory", Operation: "sub%mit", Code: "HX-X-001", Count: 2, Time: w.now()}}))
	w.sequence(10)
	all, ours := w.AuditOfAll(w.platform()), w.AuditOf(w.ours)
	for what, c := range map[string]struct {
		r      service.AuditReader
		q      service.AuditQuery
		before int64
		want   string
	}{
		"all":                 {all, service.AuditQuery{}, 0, "[4,3,2,1]"},
		"of a tenant":         {ours, service.AuditQuery{}, 0, "[4,3,1]"},
		"of another":          {w.AuditOf(w.theirs), service.AuditQuery{}, 0, "[2]"},
		"of nobody":           {w.AuditOf(tenant.Scope{}), service.AuditQuery{}, 0, "null"},
		"of no platform":      {w.AuditOfAll(tenant.PlatformScope{}), service.AuditQuery{}, 0, "null"},
		"a page":              {all, service.AuditQuery{}, 3, "[2,1]"},
		"an event":            {all, service.AuditQuery{Event: "job.cancelled"}, 0, "[3]"},
		"events":              {all, service.AuditQuery{Event: "job."}, 0, "[3,2,1]"},
		"no pattern":          {all, service.AuditQuery{Event: "j%."}, 0, "null"},
		"an actor":            {all, service.AuditQuery{Actor: "mallory"}, 0, "[4]"},
		"a job":               {all, service.AuditQuery{Resource: mine.ID}, 0, "[3,1]"},
		"a job by type":       {all, service.AuditQuery{Resource: "job:" + mine.ID}, 0, "[3,1]"},
		"a stranger's job":    {ours, service.AuditQuery{Resource: theirs.ID}, 0, "null"},
		"another resource":    {all, service.AuditQuery{Resource: "operation:sub%mit"}, 0, "[4]"},
		"no pattern, either":  {all, service.AuditQuery{Resource: "operation:sub%"}, 0, "null"},
		"since":               {all, service.AuditQuery{Since: begin.Add(time.Hour)}, 0, "[4,3]"},
		"until":               {all, service.AuditQuery{Until: begin.Add(time.Hour)}, 0, "[2,1]"},
		"several at once":     {ours, service.AuditQuery{Event: "job.", Resource: mine.ID, Since: begin.Add(time.Minute)}, 0, "[3]"},
		"at the same instant": {all, service.AuditQuery{Since: begin, Until: begin}, 0, "null"},
	} {
		if got, err := json.Marshal(w.placesOf(c.r, c.q, c.before)); err != nil || string(got) != c.want {
			w.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	records, err := ours.Entries(w.ctx, service.AuditQuery{Limit: 10}, 0)
	w.must(err)
	first, last := records[2].Entry(), records[0].Entry()
	if first.Event != "job.submitted" || first.Resource != (audit.Resource{Type: "job", ID: mine.ID, VM: "/DC/vm/100%_!sure"}) || first.Tenant != "ours" ||
		first.Actor != (audit.Actor{Type: "user", ID: "tester"}) || first.Action != "create" || first.Result != "success" || !first.Timestamp.Equal(begin) {
		w.Errorf("%+v", first)
	}
	if last.Result != "denied" || last.Metadata["count"] != "2" || last.Metadata["code"] != "HX-X-001" {
		w.Errorf("%+v", last)
	}
}

// testAuditLines: what a tenant's admin exports has the hashes of all, and the leaves
// of the own; it is proven, and so is each entry.
func testAuditLines(w *world) {
	keys := w.sign()
	for range 3 {
		w.submit()
		w.submitTo(w.theirs)
	}
	w.sequence(4)
	w.sequence(4)
	for who, hidden := range map[service.AuditReader]int64{w.AuditOfAll(w.platform()): 0, w.AuditOf(w.ours): 3, w.AuditOf(tenant.Scope{}): 6} {
		v, signed := audit.NewVerifier(keys), 0
		for after := int64(0); ; after += 5 {
			lines, err := who.Lines(w.ctx, after, 5)
			w.must(err)
			for i := range lines {
				v.Line(lines[i])
				if lines[i].Checkpoint != "" {
					signed++
				}
				if e, ok := lines[i].Entry(); ok != (lines[i].Leaf != "") || ok && (e.Pos != lines[i].Pos || e.Event != "job.submitted") {
					w.Errorf("%+v", lines[i])
				}
			}
			if len(lines) < 5 {
				break
			}
		}
		if r := v.Finish(); r.Size != 6 || r.Hidden != hidden || len(r.Findings) != 0 || signed != 2 {
			w.Errorf("%d hidden: %+v, %d checkpoints", hidden, r, signed)
		}
	}
	ours := w.AuditOf(w.ours)
	c, err := ours.Checkpoint(w.ctx, 0)
	w.must(err)
	if early, err := ours.Checkpoint(w.ctx, 3); c.Size != 6 || err != nil || early.Size != 4 {
		w.Errorf("%+v %+v %v", c, early, err)
	}
	_, err = ours.Checkpoint(w.ctx, 7)
	w.wantKind(err, fault.NotFound)
	line, err := ours.Line(w.ctx, 5)
	w.must(err)
	proof, err := ours.Tree(w.ctx).Inclusion(5, c.Size)
	w.must(err)
	w.must(audit.CheckInclusion(c, 5, line.LeafHash(), proof))
	for _, pos := range []int64{-1, 0, 2, 7} { // 2 is a stranger's
		_, err = ours.Line(w.ctx, pos)
		w.wantKind(err, fault.NotFound)
	}
}

// testAuditState: what the log has, and what nobody has signed of it.
func testAuditState(w *world) {
	counted := map[string]int{}
	w.CountLog(func(result string, n int) { counted[result] += n })
	want := func(size, signed int64, unsigned time.Time) {
		w.Helper()
		s, err := w.AuditState(w.ctx)
		w.must(err)
		if s.Size != size || s.Signed != signed || !s.Unsigned.Equal(unsigned) || (signed == 0) != s.SignedAt.IsZero() {
			w.Errorf("%+v", s)
		}
	}
	want(0, 0, time.Time{})
	begin := w.now()
	w.submit()
	w.advance(time.Minute)
	want(0, 0, begin)
	w.sequence(10) // nobody signs
	want(1, 0, begin)
	w.sign()
	w.must(w.AppendRefusals(w.ctx, []event.Refusal{{Actor: "x", Operation: "enter", Count: 1, Time: w.now()}}))
	w.sequence(10)
	want(2, 2, time.Time{})
	w.apply(w.claim(), job.FailWith("a", fault.New(fault.Corrupt, "HX-TEST-001", "bad", "")))
	want(2, 2, w.now())
	w.sequence(10)
	want(4, 4, time.Time{})
	if counted["success"] != 2 || counted["denied"] != 1 || counted["failure"] != 1 {
		w.Errorf("%v", counted)
	}
}
