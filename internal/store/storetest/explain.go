package storetest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func testExplain(w *world) {
	explain := func(id string, free int) service.Waits {
		x, err := w.Reader(w.ours).Explain(w.ctx, id, free)
		w.must(err)
		return x
	}
	w.setTenant("ours", 1, 2, false)
	done := w.running()
	w.advance(90 * time.Second)
	w.apply(done, job.CompleteWith("a", job.Outcome{}))
	w.running()
	first, second := w.submit(), w.submit()
	w.fill(3, w.theirs, priority(job.High))
	x := explain(first.ID, 0)
	if v := x.Verdict; v.Reason != job.WaitSlot || v.Ahead != 3 || x.Running != 1 || x.Limit != 2 || x.Took != 90*time.Second {
		w.Errorf("the first: %+v", x)
	}
	w.claim() // of theirs
	w.mustChange(first.ID, job.PrioritizeBy("", job.Critical))
	w.claim()
	x = explain(second.ID, 0)
	want := []admission.Action{
		{Kind: admission.ActPriority, To: job.Critical}, {Kind: admission.ActRaiseLimit, Tenant: "ours", N: 3}, {Kind: admission.ActAddWorkers, N: 1},
	}
	if v := x.Verdict; v.Reason != job.WaitTenantLimit || v.Ahead != 2 || !slices.Equal(v.Remedy, want) {
		w.Errorf("the second: %+v", x)
	}
	if got := w.job(second.ID).WaitReason; got != job.WaitTenantLimit {
		w.Errorf("it waits for %q", got)
	}
	x = explain(done.Job.ID, 0)
	if x.Verdict.Reason != "" || x.Job.State != job.Completed {
		w.Errorf("a completed job: %+v", x)
	}
}

// testRemedies: whatever holds a job back, the next claim starts it when its
// remedy is applied.
func testRemedies(w *world) {
	r := &remedies{world: w, dice: dice(5), limits: map[string]admission.Share{}, slots: 1}
	w.must(w.LimitHosts(w.ctx, "p", r.slots))
	for _, id := range []string{"ours", "theirs", "others"} {
		r.scopes = append(r.scopes, scope(w.T, tenant.ID(id)))
	}
	for range 120 {
		r.round()
	}
	for _, want := range []admission.ActionKind{
		admission.ActResume, admission.ActResumeTenant, admission.ActRetry, admission.ActWaitUntil, admission.ActPriority, admission.ActRaiseLimit, admission.ActAddWorkers,
		admission.ActRaiseHostLimit,
	} {
		if !slices.Contains(r.seen, want) {
			w.Errorf("%s never came up", want)
		}
	}
}

type remedies struct {
	*world
	dice   *rand.Rand
	scopes []tenant.Scope
	limits map[string]admission.Share
	leases []dispatch.Lease
	seen   []admission.ActionKind
	slots  int // of each host
}

// round makes a mess, picks a job that waits and starts it.
func (r *remedies) round() {
	for range 6 {
		s := r.scopes[r.dice.IntN(len(r.scopes))]
		at := r.now().Add(time.Duration(r.dice.IntN(40)-20) * time.Minute)
		j := r.submitTo(s, priority(job.PriorityOf(r.dice.IntN(admission.Classes))), func(s *job.Spec) {
			if at.After(r.now()) && r.dice.IntN(2) == 0 {
				s.NotBefore = &at
			}
		})
		if r.dice.IntN(4) == 0 {
			r.update(s, j.ID, job.PauseBy("", ""))
		}
		r.limit(string(s.Tenant()), 1+r.dice.Int64N(3), r.dice.IntN(4), r.dice.IntN(5) == 0)
	}
	r.keep(r.dice.IntN(3))
	r.read()
	r.slots = 1 + r.dice.IntN(2)
	r.must(r.LimitHosts(r.ctx, "p", r.slots))
	for len(r.leases) > r.dice.IntN(4) {
		c := job.CompleteWith("a", job.Outcome{})
		if r.dice.IntN(2) == 0 {
			c = job.RetryAt("a", errTest, r.now().Add(20*time.Minute))
		}
		r.apply(r.leases[0], c)
		r.leases = r.leases[1:]
	}
	s := r.scopes[r.dice.IntN(len(r.scopes))]
	jobs, err := r.Reader(s).Jobs(r.ctx, queryPending, 0)
	r.must(err)
	if len(jobs) > 0 {
		r.cure(s, jobs[r.dice.IntN(len(jobs))])
	}
}

func (r *remedies) limit(id string, weight int64, limit int, paused bool) {
	r.limits[id] = admission.Share{Weight: weight, Limit: limit, Paused: paused}
	r.setTenant(id, weight, limit, paused)
}

func (r *remedies) keep(n int) {
	if n > 0 {
		leases, err := r.Claim(r.ctx, "a", 24*time.Hour, n)
		r.must(err)
		r.leases = append(r.leases, leases...)
	}
}

// read lets the jobs that run read from hosts, as far as those have slots.
func (r *remedies) read() {
	kept := r.leases[:0:0]
	for _, l := range r.leases {
		if l.Job.Host != "" || r.dice.IntN(2) == 0 {
			kept = append(kept, l)
			continue
		}
		host := []string{"one", "two"}[r.dice.IntN(2)]
		switch err := r.Hosts(l).Take(r.ctx, "p", host); {
		case dispatch.IsHostFull(err):
			r.apply(l, job.YieldBy("a", ""))
		default:
			r.must(err)
			l.Job.Host = host
			kept = append(kept, l)
		}
	}
	r.leases = kept
}

func (r *remedies) update(s tenant.Scope, id string, c job.Change) {
	r.must(r.Update(r.ctx, s, func(tx service.Tx) error {
		_, _, err := tx.Change(id, c)
		return err
	}))
}

// cure applies what the explanation of a job says.
func (r *remedies) cure(s tenant.Scope, j job.Job) {
	free := r.dice.IntN(3)
	x, err := r.Reader(s).Explain(r.ctx, j.ID, free)
	r.must(err)
	if x.Verdict.Reason != j.WaitReason {
		r.Fatalf("the list says %s, the explanation %+v", j.WaitReason, x.Verdict)
	}
	t := r.limits[j.Tenant]
	for _, a := range x.Verdict.Remedy {
		r.seen = append(r.seen, a.Kind)
		switch a.Kind {
		case admission.ActResume:
			r.update(s, j.ID, job.ResumeBy(""))
		case admission.ActResumeTenant:
			t.Paused = false
		case admission.ActRetry:
			r.update(s, j.ID, job.RestartBy(""))
		case admission.ActWaitUntil:
			r.advance(a.At.Sub(r.now()))
		case admission.ActPriority:
			r.update(s, j.ID, job.PrioritizeBy("", a.To))
		case admission.ActRaiseLimit:
			t.Limit = a.N
		case admission.ActRaiseHostLimit:
			if a.Host != j.Host {
				r.Fatalf("%+v is about another host than %s", a, j.Host)
			}
			r.must(r.LimitHosts(r.ctx, "p", a.N))
		case admission.ActAddWorkers:
			free += a.N
		}
	}
	r.limit(j.Tenant, t.Weight, t.Limit, t.Paused)
	before := len(r.leases)
	r.keep(free)
	if !slices.ContainsFunc(r.leases[before:], func(l dispatch.Lease) bool { return l.Job.ID == j.ID }) {
		r.Fatalf("%+v does not start with %d workers after %+v", j, free, x.Verdict)
	}
}
