package workflow_test

import (
	"context"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// TestRetryByHandGoesOnAtTheFailedStep: what completed is not done again, what
// failed has all its attempts, and what was skipped because of it runs.
func TestRetryByHandGoesOnAtTheFailedStep(t *testing.T) {
	inBench(t, func(b *bench) {
		broken := true
		runs := map[string]int{}
		b.do["e"] = func(context.Context, workflow.Task) (job.Outcome, error) {
			runs["e"]++
			return job.Outcome{Artifacts: []job.Artifact{{Name: "e"}}, Receipt: []byte(`{"of":"e"}`)}, nil
		}
		b.do["u"] = func(_ context.Context, t workflow.Task) (job.Outcome, error) {
			runs["u"]++
			if t.Input == nil || len(t.Input.Artifacts) != 1 || string(t.Input.Receipt) != `{"of":"e"}` {
				b.Errorf("its input is %+v", t.Input)
			}
			if broken {
				return job.Outcome{}, fault.New(fault.Corrupt, "HX-TEST-009", "broken", "mend it")
			}
			return job.Outcome{}, nil
		}
		j := b.run(chain)
		want(b, "state", j.State, job.Failed)
		want(b, "steps", states(j), "e=completed/1 u=failed/1 h=skipped/0")
		broken = false
		if _, err := b.svc.Retry(b.Context(), b.user, j.ID); err != nil {
			b.Fatal(err)
		}
		want(b, "steps after the retry", states(b.get(j.ID)), "e=completed/1 u=pending/0 h=pending/0")
		b.start()
		defer func() { b.stop() }()
		j = b.end(j.ID)
		want(b, "state", j.State, job.Completed)
		want(b, "steps", states(j), "e=completed/1 u=completed/1 h=completed/1")
		want(b, "exports", runs["e"], 1)
		want(b, "uploads", runs["u"], 2)
	})
}
