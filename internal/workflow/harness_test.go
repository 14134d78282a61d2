package workflow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errDown = fault.New(fault.Unavailable, "HX-TEST-001", "down", "wait")
	errBad  = fault.New(fault.Corrupt, "HX-TEST-002", "bad", "give up")
)

// bench is an engine on a real store and a real dispatcher, in virtual time. Its
// executor does what the test says, by the step's id.
type bench struct {
	*testing.T
	store *store.Store
	user  tenant.Principal
	svc   *service.Service

	mu       sync.Mutex
	do       map[string]func(ctx context.Context, t workflow.Task) (job.Outcome, error)
	settle   func(ctx context.Context, t workflow.Task) error
	log      []string // what was executed and cleaned, in order
	finished []string // as telemetry is told
	stop     func()
}

func inBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Synchronous: store.Off})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		b := &bench{T: t, store: s, user: tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...)}
		b.do = map[string]func(context.Context, workflow.Task) (job.Outcome, error){}
		b.svc = service.New(s, service.Deps{Validator: b.engine(), Feed: s})
		test(b)
	})
}

func (b *bench) engine() *workflow.Engine {
	return &workflow.Engine{
		Executors: map[string]workflow.Executor{"export": b, "webhook": b, "upload": b}, Rand: func() float64 { return 1 },
		Finished: func(typ string, state job.StepStatus, _ time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.finished = append(b.finished, typ+" "+string(state))
		},
	}
}

// start starts a node; b.stop ends it as SIGTERM does.
func (b *bench) start() {
	ctx, cancel := context.WithCancel(b.Context())
	d := dispatch.New(b.store, b.store, b.engine(), dispatch.Options{Node: "a", Workers: 1, Lease: time.Minute, Rand: func() float64 { return 0.5 }})
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

func (b *bench) submit(text string) string {
	b.Helper()
	specs, err := job.DecodeSpecs([]byte(text), "application/yaml")
	if err != nil {
		b.Fatal(err)
	}
	r, err := b.svc.Submit(b.Context(), b.user, specs, service.SubmitOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return r.Jobs[0].ID
}

// run carries a workflow out and returns the job at its end.
func (b *bench) run(text string) job.Job {
	b.Helper()
	id := b.submit(text)
	b.start()
	defer func() { b.stop() }()
	return b.end(id)
}

// end waits until the job has ended.
func (b *bench) end(id string) job.Job {
	b.Helper()
	for deadline := time.Now().Add(24 * time.Hour); time.Now().Before(deadline); time.Sleep(time.Second) {
		if j := b.get(id); j.State.Final() {
			return j
		}
	}
	b.Fatalf("the job did not end: %+v", b.get(id))
	return job.Job{}
}

func (b *bench) get(id string) job.Job {
	b.Helper()
	j, err := b.svc.Get(b.Context(), b.user, id)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// kinds lists the events of steps, as kind:step.
func (b *bench) kinds(id string) (all []string) {
	b.Helper()
	scope, err := b.user.Scope(tenant.JobRead)
	if err != nil {
		b.Fatal(err)
	}
	events, err := b.store.Reader(scope).Events(b.Context(), id, 0, 1000)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range events {
		if kind, ok := strings.CutPrefix(string(e.Kind), "step."); ok {
			all = append(all, kind+":"+e.Data.Step)
		}
	}
	return all
}

// states shows the states of a job's steps.
func states(j job.Job) string {
	var b strings.Builder
	for _, s := range j.Steps {
		fmt.Fprintf(&b, "%s=%s/%d ", s.ID, s.State, s.Attempt)
	}
	return strings.TrimSpace(b.String())
}

func (b *bench) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, what)
}

func (b *bench) count(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, l := range b.log {
		if l == what {
			n++
		}
	}
	return n
}

func (b *bench) Validate(_ context.Context, s job.Step) error {
	if s.Message == "refuse" {
		return errBad
	}
	return nil
}

func (b *bench) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	b.note("run " + t.Step.ID)
	b.mu.Lock()
	do := b.do[t.Step.ID]
	b.mu.Unlock()
	if do != nil {
		return do(ctx, t)
	}
	return made(t.Step.ID), nil
}

func (b *bench) Cleanup(ctx context.Context, t workflow.Task) error {
	b.note("clean " + t.Step.ID)
	if b.settle != nil {
		return b.settle(ctx, t)
	}
	return nil
}

func made(name string) job.Outcome {
	return job.Outcome{Artifacts: []job.Artifact{{Name: name, Path: "/" + name + "/disk"}}, Receipt: []byte(`{"of":"` + name + `"}`)}
}

// until waits for the end of ctx.
func until(ctx context.Context, _ workflow.Task) (job.Outcome, error) {
	<-ctx.Done()
	return job.Outcome{}, context.Cause(ctx)
}

func failing(err error) func(context.Context, workflow.Task) (job.Outcome, error) {
	return func(context.Context, workflow.Task) (job.Outcome, error) { return job.Outcome{}, err }
}

func want[T comparable](b *bench, what string, got, want T) {
	b.Helper()
	if got != want {
		b.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func wantList(b *bench, what string, got []string, want ...string) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Fatalf("%s: got %q, want %q", what, got, want)
	}
}
