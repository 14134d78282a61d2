package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

const chain = `
name: chain
jobs:
  - {id: e, type: export, vm_path: /vm}
  - {id: u, type: upload, depends_on: e, input: $e.output, destination: "file:///x"}
  - {id: h, type: webhook, depends_on: u, url: "https://h/secret"}
`

const diamond = `
name: diamond
jobs:
  - {id: a, type: webhook, url: "https://h/"}
  - {id: b, type: webhook, url: "https://h/", depends_on: a}
  - {id: c, type: webhook, url: "https://h/", depends_on: a}
  - {id: d, type: webhook, url: "https://h/", depends_on: [b, c]}
  - {id: alarm, type: webhook, url: "https://h/", depends_on: [b, c], when: failure}
  - {id: always, type: webhook, url: "https://h/", depends_on: [d], when: always}
finally:
  - {id: f, type: webhook, url: "https://h/"}
  - {id: g, type: webhook, url: "https://h/", when: failure}
  - {id: s, type: webhook, url: "https://h/", when: success}
`

func TestStepsFollowEachOther(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do["u"] = func(_ context.Context, t workflow.Task) (job.Outcome, error) {
			if t.Input == nil || t.Input.Artifacts[0].Name != "e" || string(t.Input.Receipt) != `{"of":"e"}` || !strings.HasSuffix(t.Job.ID, ".u") {
				return job.Outcome{}, fmt.Errorf("got %+v", t)
			}
			return job.Outcome{Artifacts: []job.Artifact{{Name: "u"}}}, nil
		}
		j := b.run(chain)
		want(b, "state", j.State, job.Completed)
		want(b, "steps", states(j), "e=completed/1 u=completed/1 h=completed/1")
		wantList(b, "events", b.kinds(j.ID), "started:e", "completed:e", "started:u", "completed:u", "started:h", "completed:h")
		wantList(b, "metrics", b.finished, "export completed", "upload completed", "webhook completed")
		want(b, "artifacts", fmt.Sprint(len(j.Artifacts), string(j.Receipt)), `3{"of":"e"}`)
		want(b, "shown URL", j.Spec.Jobs[2].URL, "https://h/[hidden]")
	})
}

func TestAnExportIsAPlanOfOneStep(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do[""] = func(_ context.Context, t workflow.Task) (job.Outcome, error) {
			if strings.Contains(t.Job.ID, ".") || t.Job.Spec.VMPath != "/vm" {
				return job.Outcome{}, errBad
			}
			return made("x"), nil
		}
		j := b.run("vm_path: /vm")
		want(b, "state", j.State, job.Completed)
		want(b, "steps", len(j.Steps)+len(b.kinds(j.ID)), 0)
	})
}

func TestBranchesRunInParallel(t *testing.T) {
	inBench(t, func(b *bench) {
		met := make(chan bool)
		b.do["b"] = func(context.Context, workflow.Task) (job.Outcome, error) { met <- true; return job.Outcome{}, nil }
		b.do["c"] = func(context.Context, workflow.Task) (job.Outcome, error) { <-met; return job.Outcome{}, nil }
		j := b.run(diamond)
		want(b, "state", j.State, job.Completed)
		want(b, "steps", states(j), "a=completed/1 b=completed/1 c=completed/1 d=completed/1 alarm=skipped/0 always=completed/1 f=completed/1 g=skipped/0 s=completed/1")
	})
}

func TestAFailureIsHandledAndFailsTheJob(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do["b"] = failing(errBad)
		j := b.run(diamond)
		want(b, "state", j.State, job.Failed)
		want(b, "attempt", j.Attempt, 1)
		want(b, "error", j.Error.Code+" "+j.Error.Message, `HX-TEST-002 step b: bad`)
		want(b, "steps", states(j), "a=completed/1 b=failed/1 c=completed/1 d=skipped/0 alarm=completed/1 always=completed/1 f=completed/1 g=completed/1 s=skipped/0")
		if b.count("clean b") == 0 || b.count("clean c") > 0 || b.count("run f") != 1 {
			b.Fatal(b.log)
		}
	})
}

func TestAStepIsTriedAgain(t *testing.T) {
	inBench(t, func(b *bench) {
		left := 2
		b.do["u"] = func(context.Context, workflow.Task) (job.Outcome, error) {
			if left--; left >= 0 {
				return job.Outcome{}, errDown
			}
			return made("u"), nil
		}
		begin := time.Now()
		j := b.run(chain)
		want(b, "steps", states(j), "e=completed/1 u=completed/3 h=completed/1")
		if took := time.Since(begin); took < 15*time.Second || took > time.Minute {
			b.Fatalf("the pauses of 5 and 10 s took %s", took)
		}
		if got := b.kinds(j.ID); !slices.Contains(got, "retrying:u") {
			b.Fatal(got)
		}
		want(b, "clean-ups", b.count("clean u"), 0)
	})
}

func TestAttemptsEndAndTheJobIsNotRepeated(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do["u"] = failing(errDown)
		j := b.run(strings.Replace(chain, "destination", "retry: {max_attempts: 4, backoff: 1s}, destination", 1))
		want(b, "state", fmt.Sprint(j.State, j.Attempt, j.Error.Kind), "failed1unavailable")
		want(b, "steps", states(j), "e=completed/1 u=failed/4 h=skipped/0")
		want(b, "runs of e", b.count("run e"), 1)
	})
}

func TestTimeLimitsAndPanics(t *testing.T) {
	for _, c := range []struct {
		name, code string
		do         func(context.Context, workflow.Task) (job.Outcome, error)
	}{
		{"timeout", "HX-FLOW-020", until},
		{"panic", "HX-RUN-010", func(context.Context, workflow.Task) (job.Outcome, error) { panic("boom") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.do["u"] = c.do
				j := b.run(strings.Replace(chain, "destination", "timeout: 1m, retry: {max_attempts: 1}, destination", 1))
				want(b, "error", j.Error.Code, c.code)
				want(b, "steps", states(j), "e=completed/1 u=failed/1 h=skipped/0")
			})
		})
	}
}

func TestCancelReachesEveryBranch(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do["b"], b.do["c"] = until, until
		id := b.submit(diamond)
		b.start()
		defer func() { b.stop() }()
		for b.count("run b")+b.count("run c") < 2 {
			time.Sleep(time.Second)
		}
		if _, err := b.svc.Cancel(b.Context(), b.user, id, "enough"); err != nil {
			b.Fatal(err)
		}
		j := b.end(id)
		want(b, "state", j.State, job.Cancelled)
		want(b, "steps", states(j), "a=completed/1 b=cancelled/1 c=cancelled/1 d=skipped/0 alarm=skipped/0 always=skipped/0 f=completed/1 g=completed/1 s=skipped/0")
		want(b, "clean-ups", fmt.Sprint(b.count("clean a"), b.count("clean b"), b.count("clean c")), "0 1 1")
	})
}

// TestFinallyDoesNotHoldUpACancel: a step of finally that hangs is given up, and
// a clean-up that failed is done again without running finally twice.
func TestFinallyDoesNotHoldUpACancel(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do["b"], b.do["f"] = until, until
		fails := 1
		b.settle = func(_ context.Context, t workflow.Task) error {
			if t.Step.ID == "b" && fails > 0 {
				fails--
				return errDown
			}
			return nil
		}
		id := b.submit(diamond)
		b.start()
		defer func() { b.stop() }()
		for b.count("run b") == 0 {
			time.Sleep(time.Second)
		}
		if _, err := b.svc.Cancel(b.Context(), b.user, id, ""); err != nil {
			b.Fatal(err)
		}
		j := b.end(id)
		want(b, "state", j.State, job.Cancelled)
		want(b, "runs of f and g", fmt.Sprint(b.count("run f"), b.count("run g"), b.count("clean b")), "1 1 2")
		if !strings.Contains(states(j), "b=cancelled/1") || !strings.Contains(states(j), "f=failed/1") {
			b.Fatal(states(j))
		}
	})
}

// TestInterruptions stops the node while each step runs, once per step: nothing
// that had completed is run again, and the interrupted step goes on with its
// token and without a lost attempt.
func TestInterruptions(t *testing.T) {
	inBench(t, func(b *bench) {
		tokens := map[string]string{}
		for _, id := range []string{"a", "b", "c", "d", "always", "f"} {
			b.do[id] = func(ctx context.Context, t workflow.Task) (job.Outcome, error) {
				if t.Token != nil {
					b.mu.Lock()
					tokens[id] = string(t.Token)
					b.mu.Unlock()
					if err := t.Checkpoints.Reset(ctx, "disk"); err != nil {
						return job.Outcome{}, err
					}
					return made(id), nil
				}
				if err := errors.Join(t.SaveToken(ctx, []byte("of "+id)), t.Checkpoints.Append(ctx, "disk", 7, nil, []byte(id))); err != nil {
					return job.Outcome{}, err
				}
				return until(ctx, t)
			}
		}
		id := b.submit(diamond)
		for range 10 {
			b.start()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			b.stop()
			if b.get(id).State.Final() {
				break
			}
		}
		j := b.get(id)
		want(b, "state", j.State, job.Completed)
		want(b, "attempt", j.Attempt, 1)
		want(b, "steps", states(j), "a=completed/1 b=completed/1 c=completed/1 d=completed/1 alarm=skipped/0 always=completed/1 f=completed/1 g=skipped/0 s=completed/1")
		for step, token := range tokens {
			want(b, "token", token, "of "+step)
			want(b, "runs of "+step, b.count("run "+step), 2)
		}
		want(b, "interrupted steps", len(tokens), 6)
		if got := b.kinds(id); len(got) != 2*7+2 {
			b.Fatalf("each change has one event: %q", got)
		}
	})
}

func TestCheckpointsAndLedgersAreTheSteps(t *testing.T) {
	inBench(t, func(b *bench) {
		b.do["e"] = func(ctx context.Context, t workflow.Task) (job.Outcome, error) {
			_, err := t.Ledger.Of("e", "s3").Intend(ctx, "multipart", "{}")
			return made("e"), errors.Join(err, t.Checkpoints.Append(ctx, "disk", 7, nil, nil))
		}
		b.do["u"] = func(ctx context.Context, t workflow.Task) (job.Outcome, error) {
			_, found, err := t.Checkpoints.Load(ctx, "disk")
			open, lerr := t.Ledger.Open(ctx)
			if found || len(open) > 0 {
				return job.Outcome{}, errBad
			}
			return made("u"), errors.Join(err, lerr)
		}
		j := b.run(chain)
		want(b, "state", j.State, job.Completed)
		orphans, err := b.store.Orphans(b.Context())
		if err != nil || len(orphans) != 1 || orphans[0].Provider != "s3" {
			b.Fatal(orphans, err)
		}
	})
}

func TestAnExecutorRefusesAtSubmit(t *testing.T) {
	inBench(t, func(b *bench) {
		specs, err := job.DecodeSpecs([]byte(strings.Replace(chain, `url: "https`, `message: refuse, url: "https`, 1)), "")
		if err != nil {
			b.Fatal(err)
		}
		_, err = b.svc.Submit(b.Context(), b.user, specs, service.SubmitOptions{})
		if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), `line 6, column 5: step "h": bad`) {
			b.Fatal(err)
		}
	})
}
