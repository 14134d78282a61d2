package storetest

import "github.com/hypersdk/hypersdk/internal/job"

// testHolder: whose a staging area is, in each state of the job.
func testHolder(w *world) {
	want := func(id, step string, state job.State, node, token string, leased bool) {
		w.Helper()
		h, found, err := w.Holder(w.ctx, id, step)
		w.must(err)
		if !found || h.State != state || leased && h.Node != node || string(h.Token) != token || h.Leased != leased {
			w.Errorf("%+v %v, want %s on %s with %q", h, found, state, node, token)
		}
	}
	if _, found, err := w.Holder(w.ctx, "nobody", ""); found || err != nil {
		w.Errorf("%v, %v", found, err)
	}
	j := w.submit(func(s *job.Spec) { *s = flow() })
	want(j.ID, "", job.Pending, "", "", false)
	leases, err := w.Claim(w.ctx, "a", lease, 1)
	w.must(err)
	l := leases[0]
	want(j.ID, "e", job.Running, "a", "", true)
	e := job.StepState{ID: "e", Type: "export"}
	e.Begin(w.now())
	w.must(w.Steps(l).Save(w.ctx, 0, e, nil))
	w.must(w.Steps(l).SaveToken(w.ctx, "e", []byte("step's")))
	w.must(w.SaveToken(w.ctx, l, []byte("job's")))
	want(j.ID, "", job.Running, "a", "job's", true)
	want(j.ID, "e", job.Running, "a", "step's", true)
	want(j.ID, "h", job.Running, "a", "", true)
	w.apply(l, job.CompleteWith("a", job.Outcome{}))
	want(j.ID, "e", job.Completed, "", "", false)
}
