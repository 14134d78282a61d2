package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// Directions of the bytes of disks.
const (
	source  = "source"
	written = "written"
	zero    = "zero"
)

// Phases whose bytes are counted, as progress names them.
const (
	copying   = "copying"
	verifying = "verifying"
)

// outcomes are how a run can end.
var outcomes = []string{string(job.Complete), string(job.Fail), string(job.Retry), string(job.Interrupt), string(job.Yield), string(job.Settle), "lost"}

// workflowFormat stands for the format of a job that has no one format.
const workflowFormat = "workflow"

// Service returns the hooks for service.Deps.
func (m *Metrics) Service() service.Hooks {
	return service.Hooks{
		Submitted: func(job.Job) { m.submitted.Inc() },
		Refused:   func(quota string) { m.refused.WithLabelValues(quota).Inc() },
		Cancelled: func(j job.Job) { m.finished.WithLabelValues(string(j.State)).Inc() },
		ScheduleRan: func(r schedule.Run) {
			m.scheduleRuns.WithLabelValues(r.Outcome).Add(float64(max(1, r.Missed)))
		},
	}
}

// Dispatch returns the hooks for dispatch.Options.
func (m *Metrics) Dispatch() dispatch.Hooks {
	return dispatch.Hooks{
		Enter: func(ctx context.Context, _ dispatch.Lease, _ bool) (context.Context, func(string)) {
			return ctx, func(outcome string) { m.runs.WithLabelValues(outcome).Inc() }
		},
		Retried: func(job.Job) { m.retries.Inc() },
		Yielded: func(job.Job) { m.hostYields.Inc() },
		Finished: func(j job.Job, took time.Duration) {
			m.finished.WithLabelValues(string(j.State)).Inc()
			format := j.Spec.Format
			if j.Spec.IsWorkflow() {
				format = workflowFormat
			}
			run, _ := tracing.Link(j.RunTrace)
			observe(m.jobTime.WithLabelValues(j.Spec.Provider, format), took, run.SpanContext)
		},
	}
}

// Step counts a step of a workflow that ended.
func (m *Metrics) Step(typ string, state job.StepStatus, took time.Duration) {
	m.steps.WithLabelValues(typ, string(state)).Inc()
	if state != job.StepSkipped {
		m.stepTime.WithLabelValues(typ).Observe(took.Seconds())
	}
}

// VSphere returns the observer for vsphere.New.
func (m *Metrics) VSphere() vsphere.Observer {
	return vsphere.Observer{
		Transferred: func(_, _, _ string, n int64) { m.bytes.WithLabelValues(source).Add(float64(n)) },
		Relogin:     m.relogins.Inc,
		Retry:       func(op string) { m.sourceRetries.WithLabelValues(op).Inc() },
		HostWait: func(_ string, waiting bool) {
			if waiting {
				m.hostWaits.Inc()
			} else {
				m.hostWaits.Dec()
			}
		},
	}
}

// Runner counts the bytes that the runs of next write and skip.
func (m *Metrics) Runner(next dispatch.Runner) dispatch.Runner { return &runner{Runner: next, m: m} }

type runner struct {
	dispatch.Runner
	m *Metrics
}

// Run implements dispatch.Runner.
func (r *runner) Run(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
	t.Progress = r.m.counted(t.Progress)
	return r.Runner.Run(ctx, t)
}

// counted counts what each report adds to the one before. Only copying writes;
// its counts begin at 0 in every run, and so do those of each phase.
func (m *Metrics) counted(report func(job.Progress)) func(job.Progress) {
	var (
		mu   sync.Mutex
		last = map[string]job.Progress{}
	)
	return func(p job.Progress) {
		if p.Phase == copying || p.Phase == verifying {
			mu.Lock()
			before := last[p.Phase]
			last[p.Phase] = p
			mu.Unlock()
			m.phases.WithLabelValues(p.Phase).Add(float64(max(0, p.BytesRead-before.BytesRead)))
			if p.Phase == copying {
				m.bytes.WithLabelValues(written).Add(float64(max(0, p.BytesWritten-before.BytesWritten)))
				m.bytes.WithLabelValues(zero).Add(float64(max(0, p.BytesZero-before.BytesZero)))
			}
		}
		if report != nil {
			report(p)
		}
	}
}
