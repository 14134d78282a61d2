package storetest

import (
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// model is what the store must hold: the jobs by the pure rules of package job,
// who has them and until when.
type model struct {
	w      *world
	jobs   []*modelJob
	leases []dispatch.Lease // all that were ever given out
}

type modelJob struct {
	job.Job
	events     int
	leaseUntil time.Time // zero: nobody has it
}

// testModel performs random histories on the store and on the model, with stale
// leases as likely as live ones, and compares everything after each step.
func testModel(w *world) {
	rapid.Check(w.T, func(t *rapid.T) {
		w.clear()
		m := &model{w: w}
		t.Repeat(map[string]func(*rapid.T){
			"submit":  m.submit,
			"claim":   func(t *rapid.T) { m.claim(t, false) },
			"cleanup": func(t *rapid.T) { m.claim(t, true) },
			"settle":  m.settle,
			"renew":   m.renew,
			"cancel":  m.cancel,
			"change":  m.change,
			"time":    func(t *rapid.T) { w.advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second) },
			"reap":    m.reap,
			"":        m.compare,
		})
		for _, j := range m.jobs {
			if n := len(w.kinds(j.ID)); n != j.events {
				t.Fatalf("%d events of %s, want %d", n, j.ID, j.events)
			}
		}
	})
}

// clear ends all jobs of the history before, however far it came.
func (w *world) clear() {
	w.advance(time.Hour)
	_, err := w.Reap(w.ctx)
	w.must(err)
	open, err := w.Reader(w.ours).Jobs(w.ctx, service.Query{States: []job.State{job.Pending, job.Cancelling}, Limit: 1000}, 0)
	w.must(err)
	for _, j := range open {
		w.cancel(j.ID, "")
	}
	leases, err := w.ClaimCleanup(w.ctx, "z", lease, 1000)
	w.must(err)
	for _, l := range leases {
		w.apply(l, job.SettleBy("z"))
	}
}

func (m *model) submit(t *rapid.T) {
	p := rapid.SampledFrom([]job.Priority{job.Critical, job.High, job.Normal, job.Low}).Draw(t, "priority")
	m.jobs = append(m.jobs, &modelJob{Job: m.w.submit(priority(p)), events: 1})
}

// next returns the job that a claim must give, or nil.
func (m *model) next(cleanup bool) *modelJob {
	var best *modelJob
	for _, j := range m.jobs {
		due := j.NotBefore == nil || !j.NotBefore.After(m.w.now())
		switch {
		case !due || j.Paused || !j.leaseUntil.IsZero():
		case cleanup && j.State == job.Cancelling:
			return j // any
		case !cleanup && j.State == job.Pending && (best == nil || j.Priority.Class() < best.Priority.Class()):
			best = j
		}
	}
	return best
}

func (m *model) claim(t *rapid.T, cleanup bool) {
	node := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node")
	claim := m.w.Claim
	if cleanup {
		claim = m.w.ClaimCleanup
	}
	leases, err := claim(m.w.ctx, node, lease, 1)
	m.w.must(err)
	want := m.next(cleanup)
	if (want == nil) != (len(leases) == 0) {
		t.Fatalf("claimed %v, want %+v", leases, want)
	}
	if want == nil {
		return
	}
	if cleanup {
		want = m.find(leases[0].Job.ID)
	}
	if leases[0].Job.ID != want.ID {
		t.Fatalf("claimed %s, want %s", leases[0].Job.ID, want.ID)
	}
	m.apply(t, want, job.ClaimBy(node))
	want.leaseUntil = m.w.now().Add(lease)
	m.leases = append(m.leases, leases[0])
}

func (m *model) find(id string) *modelJob {
	i := slices.IndexFunc(m.jobs, func(j *modelJob) bool { return j.ID == id })
	return m.jobs[i]
}

// apply performs a change on the model.
func (m *model) apply(t *rapid.T, j *modelJob, c job.Change) {
	changed, err := j.Apply(c, m.w.now())
	if err != nil {
		t.Fatal(err)
	}
	if changed {
		j.events++
	}
	if c.Trigger.Releases() {
		j.leaseUntil = time.Time{}
	}
}

func (m *model) settle(t *rapid.T) {
	if len(m.leases) == 0 {
		t.Skip()
	}
	l := rapid.SampledFrom(m.leases).Draw(t, "lease")
	c := rapid.SampledFrom([]job.Change{
		job.CompleteWith("a", job.Outcome{Receipt: []byte(`{}`)}), job.FailWith("a", errTest), job.InterruptBy("a", "x"), job.SettleBy("a"),
		job.RetryAt("a", errTest, m.w.now().Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "pause"))*time.Second)),
	}).Draw(t, "change")
	j := m.find(l.Job.ID)
	_, err := m.w.Apply(m.w.ctx, l, c)
	_, refused := job.Transition(j.State, c.Trigger)
	if stale := j.Epoch != l.Job.Epoch || j.leaseUntil.IsZero(); stale || refused != nil {
		if !fault.Is(err, fault.Conflict) {
			t.Fatalf("%s of %s with a stale lease: %v", c.Trigger, j.State, err)
		}
		return
	}
	m.w.must(err)
	m.apply(t, j, c)
}

func (m *model) renew(t *rapid.T) {
	if len(m.leases) == 0 {
		t.Skip()
	}
	l := rapid.SampledFrom(m.leases).Draw(t, "lease")
	j := m.find(l.Job.ID)
	cancel, err := m.w.Renew(m.w.ctx, l, lease, nil)
	if j.Epoch != l.Job.Epoch || j.leaseUntil.IsZero() {
		if !fault.Is(err, fault.Conflict) {
			t.Fatalf("a stale renewal: %v", err)
		}
		return
	}
	m.w.must(err)
	if cancel != (j.State == job.Cancelling) {
		t.Fatalf("cancel is %v for a job that is %s", cancel, j.State)
	}
	j.leaseUntil = m.w.now().Add(lease)
}

func (m *model) cancel(t *rapid.T) {
	if len(m.jobs) == 0 {
		t.Skip()
	}
	j := rapid.SampledFrom(m.jobs).Draw(t, "job")
	c := j.CancelBy("tester", "why")
	_, changed := m.w.cancel(j.ID, "why")
	before := j.State
	m.apply(t, j, c)
	if changed != (before != j.State) {
		t.Fatalf("changed is %v from %s to %s", changed, before, j.State)
	}
}

// change does what a user may do to a job besides cancelling it.
func (m *model) change(t *rapid.T) {
	if len(m.jobs) == 0 {
		t.Skip()
	}
	j := rapid.SampledFrom(m.jobs).Draw(t, "job")
	c := rapid.SampledFrom([]job.Change{
		job.PauseBy("", "x"), job.ResumeBy(""), job.RestartBy(""), job.PrioritizeBy("", job.Critical), job.PrioritizeBy("", job.Low),
	}).Draw(t, "change")
	_, refused := job.Transition(j.State, c.Trigger)
	before := j.events
	if refused == nil {
		m.apply(t, j, c)
	}
	_, changed, err := m.w.change(j.ID, c)
	if refused != nil {
		if !fault.Is(err, fault.Conflict) {
			t.Fatalf("%s of a job that is %s: %v", c.Trigger, j.State, err)
		}
		return
	}
	m.w.must(err)
	if changed != (j.events > before) {
		t.Fatalf("changed is %v by %s of %+v", changed, c.Trigger, j.Job)
	}
}

func (m *model) reap(t *rapid.T) {
	n, err := m.w.Reap(m.w.ctx)
	m.w.must(err)
	for _, j := range m.jobs {
		if !j.leaseUntil.IsZero() && !j.leaseUntil.After(m.w.now()) {
			m.apply(t, j, job.InterruptBy(j.Node, "x"))
			n--
		}
	}
	if n != 0 {
		t.Fatalf("%d leases too many were taken back", n)
	}
}

func (m *model) compare(t *rapid.T) {
	ids := make([]string, len(m.jobs))
	for i, j := range m.jobs {
		ids[i] = j.ID
	}
	if len(ids) == 0 {
		return
	}
	stored, err := m.w.Reader(m.w.ours).Jobs(m.w.ctx, service.Query{IDs: ids, Limit: len(ids)}, 0)
	m.w.must(err)
	if len(stored) != len(ids) {
		t.Fatalf("%d of %d jobs are there", len(stored), len(ids))
	}
	for _, got := range stored {
		j := m.find(got.ID)
		want := j.Job
		got.WaitReason, want.WaitReason, want.Receipt = "", "", nil // a list has neither receipts nor a moment
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("stored %+v\nmodel  %+v", got, want)
		}
	}
}
