package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// TestEstimatedStart: with four workers and jobs that take a minute, one of them
// ends every quarter of a minute.
func TestEstimatedStart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, dir)
		defer b.close()
		b.deps.Pool = pool{} // 3 of 4 are busy
		b.svc = service.New(b.store, b.deps)
		specs := make([]job.Spec, 6)
		for i := range specs {
			specs[i].VMPath = "/DC/vm/web-01"
		}
		jobs := b.submit(specs...)
		want := func(id, message string, in time.Duration) {
			b.Helper()
			e, err := b.svc.Explain(b.Context(), b.us, id)
			b.must(err)
			at := time.Now().UTC().Add(in)
			if in < 0 {
				at = time.Time{}
			}
			if e.Message != message || !e.EstimatedStart.Equal(at) {
				b.Errorf("got %q, %v; want %v", e.Message, e.EstimatedStart, at)
			}
		}
		want(jobs[0].ID, "3 of 4 workers are busy and the job is next", 0)
		want(jobs[1].ID, "3 of 4 workers are busy and 1 job goes first", -1) // nobody knows how long a job takes
		leases, err := b.store.Claim(b.Context(), "a", time.Hour, 1)
		b.must(err)
		time.Sleep(time.Minute)
		_, err = b.store.Apply(b.Context(), leases[0], job.CompleteWith("a", job.Outcome{}))
		b.must(err)
		want(jobs[1].ID, "3 of 4 workers are busy and the job is next", 0)
		want(jobs[5].ID, "3 of 4 workers are busy and 4 jobs go first", time.Minute)
		_, err = b.svc.Pause(b.Context(), b.us, jobs[5].ID, "")
		b.must(err)
		want(jobs[5].ID, "the job is paused", -1)
	})
}
