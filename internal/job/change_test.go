package job

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// TestApplyKeepsItsPromises drives a job by random changes and checks what must
// hold after each.
func TestApplyKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		j := New("id", "default", Spec{VMPath: "/vm"}.WithDefaults(), now)
		failures := 0
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				now = now.Add(time.Second)
				before := j
				c := drawChange(t, &j, now)
				changed, err := j.Apply(c, now)
				if err != nil {
					if !fault.Is(err, fault.Conflict) || changed || j.State != before.State || j.Epoch != before.Epoch {
						t.Fatalf("%s × %s: refused with %v, and left %+v", before.State, c.Trigger, err, j)
					}
					return
				}
				if before.State == Running && (c.Trigger == Retry || c.Trigger == Fail) {
					failures++
				}
				if c.Trigger == Restart && before.State.Final() {
					failures = 0
				}
				check(t, before, j, c, changed)
				if j.State == Pending && j.Attempt != failures {
					t.Fatalf("%d attempts are spent after %d failures", j.Attempt, failures)
				}
			},
		})
	})
}

func drawChange(t *rapid.T, j *Job, now time.Time) Change {
	return rapid.SampledFrom([]Change{
		ClaimBy("a"), CompleteWith("a", Outcome{Receipt: []byte(`{}`)}), FailWith("a", errors.New("x")),
		RetryAt("a", errors.New("x"), now.Add(time.Minute)), InterruptBy("a", "shutdown"), SettleBy("a"),
		j.CancelBy("me", "why"), j.CancelBy("me", "other"),
		PauseBy("me", "why"), ResumeBy("me"), PrioritizeBy("me", Critical), PrioritizeBy("me", Low), RestartBy("me"),
	}).Draw(t, "change")
}

func check(t *rapid.T, before, j Job, c Change, changed bool) {
	if changed != (before.State != j.State || before.Paused != j.Paused || before.Priority != j.Priority || c.Trigger == Restart && before.Retrying()) {
		t.Fatalf("changed = %v from %+v to %+v", changed, before, j)
	}
	if before.State.Final() && j.State != before.State && c.Trigger != Restart {
		t.Fatalf("left the final state %s", before.State)
	}
	if j.Paused && j.State != Pending {
		t.Fatalf("%s and paused", j.State)
	}
	if moved := c.Trigger == Claim || c.Trigger.Releases(); moved != (j.Epoch == before.Epoch+1) {
		t.Fatalf("%s took the epoch from %d to %d", c.Trigger, before.Epoch, j.Epoch)
	}
	if j.State.Final() != (j.FinishedAt != nil) {
		t.Fatalf("%s with finished_at %v", j.State, j.FinishedAt)
	}
	if (j.State == Failed) != (j.State.Final() && j.Error != nil) {
		t.Fatalf("%s with error %v", j.State, j.Error)
	}
	if before.State == Cancelling && j.CancelReason != before.CancelReason {
		t.Fatalf("the second cancel changed the reason")
	}
	if j.State == Cancelled && before.State == Pending && before.Epoch > 0 {
		t.Fatalf("cancelled without a clean-up although it ran")
	}
}
