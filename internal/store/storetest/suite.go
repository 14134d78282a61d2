// Package storetest is the conformance suite of the store: what service and
// dispatch rely on, whatever the database.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// Store is all that a store offers.
type Store interface {
	forService
	forDispatch
	forLimits
	forNodes
	forAuth
	Sequence(ctx context.Context, limit int) (int64, error)
	LimitHosts(ctx context.Context, provider string, slots int) error
	Holder(ctx context.Context, jobID, step string) (h dispatch.Holder, found bool, err error)
	Pressure(ctx context.Context) (dispatch.Pressure, error)
	Writable(ctx context.Context, fresh time.Duration) error
}

type forNodes interface {
	node.Registry
	service.Nodes
}

type forAuth interface {
	auth.Keys
	auth.SessionStore
}

type forService interface {
	forAudit
	service.Store
	service.DueSchedules
	service.RetentionStore
	service.Feed
}

type forAudit interface {
	service.AuditStore
	auditsink.Log
	SignLog(signer *audit.Signer)
	CountLog(count func(result string, n int))
	AuditState(ctx context.Context) (audit.State, error)
}

type forLimits interface {
	limit.Board
	Bandwidth(ctx context.Context, jobID string) (own, ofTenant limit.Plan, err error)
}

type forOutbox interface {
	outbox.Queue
	Hooks(ctx context.Context) (breakers map[webhook.BreakerState]int64, waiting int64, oldest time.Time, err error)
}

type forDispatch interface {
	forOutbox
	dispatch.Queue
	dispatch.Orphans
	dispatch.Backlog
}

// Open makes an empty store that reads the given clock. The test's clean-up
// closes it.
type Open func(t *testing.T, now func() time.Time) Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*world)
	}{
		{"a job comes back as it was", testRoundTrip},
		{"tenants do not see each other", testTenants},
		{"an update happens whole or not at all", testAtomic},
		{"updates that share a commit do not spoil each other", testBatch},
		{"claims go by priority, then by age", testClaimOrder},
		{"tenants have fair shares of a class", testFairShare},
		{"a tenant's limit holds on all nodes", testTenantLimit},
		{"a tenant that is paused starts nothing", testTenantPause},
		{"an aged job has its turn", testAgeing},
		{"claims are the decisions of admission", testAdmission},
		{"a host's slots hold on all nodes", testHostSlots},
		{"a slot ends with its lease", testHostLeases},
		{"a workflow holds a slot for each step", testHostSteps},
		{"why a job waits", testExplain},
		{"why a job waits for its host", testExplainHost},
		{"a remedy starts the job", testRemedies},
		{"a delayed job waits for its time", testDelayed},
		{"a job is claimed once", testClaimOnce},
		{"a stale lease writes nothing", testFence},
		{"many claims at once are many claims", testClaimAtOnce},
		{"leases that end together", testEndings},
		{"crashes without progress are counted", testCrashes},
		{"a renewal carries progress and brings the cancel", testRenew},
		{"an interruption spends no attempt", testInterrupt},
		{"a node takes back what it had", testTakeBack},
		{"cancel in every state", testCancel},
		{"cancel of a job that ran before", testCancelRanBefore},
		{"a paused job waits in its place", testPause},
		{"another priority is another place", testPrioritize},
		{"a job that ended is restarted from nothing", testRestart},
		{"a retry need not be waited for", testRestartRetrying},
		{"a failed clean-up is tried again", testCleanupAgain},
		{"checkpoints", testCheckpoints},
		{"the ledger", testLedger},
		{"the steps of a workflow", testSteps},
		{"a workflow is retried from what failed", testRestartSteps},
		{"one event for each change", testEvents},
		{"places in the log", testLog},
		{"a reader of the log misses nothing", testLogOrder},
		{"an auditor reads entries", testAuditEntries},
		{"an export is proven", testAuditLines},
		{"how the log is", testAuditState},
		{"the log goes to sinks", testSinks},
		{"a batch is made again as it was", testSinkBatch},
		{"one node serves a sink at a time", testSinkNodes},
		{"queries", testQueries},
		{"pages", testPages},
		{"idempotency keys", testKeys},
		{"a call takes effect once", testOnce},
		{"a call in steps", testOnceInSteps},
		{"many make the same call", testOnceRace},
		{"the backlog", testBacklog},
		{"what waits", testReady},
		{"what presses on the workers", testPressure},
		{"whether changes can be stored", testWritable},
		{"a job keeps its place in a trace", testTrace},
		{"old artifacts", testOldArtifacts},
		{"old jobs", testOldJobs},
		{"schedules", testSchedules},
		{"a schedule is changed by one at a time", testScheduleRevision},
		{"schedules that are due", testScheduleDue},
		{"runs of a schedule", testScheduleRuns},
		{"jobs of a schedule", testScheduleJobs},
		{"webhooks", testWebhooks},
		{"events become deliveries", testRelay},
		{"several relays at once", testRelayNodes},
		{"an endpoint has a turn", testTurns},
		{"the circuit breaker is stored", testBreaker},
		{"an endpoint is given up", testGiveUp},
		{"an endpoint asks to wait", testRetryAfter},
		{"deliveries are sent again", testResend},
		{"profiles", testProfiles},
		{"bandwidth", testBandwidth},
		{"whose a staging area is", testHolder},
		{"a commit wakes who waits", testFeed},
		{"the list of nodes", testNodes},
		{"transfers of the nodes", testTransfers},
		{"any history agrees with the model", testModel},
		{"API keys", testAPIKeys},
		{"sessions", testSessions},
		{"tenants and their limits", testDirectory},
		{"parallel submits keep to the quota", testQuotaRace},
		{"the storage quota", testStorageQuota},
		{"usage counts each end once", testUsage},
		{"usage of runs that break off", testUsageOfRuns},
		{"a deleted tenant drains", testDrain},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(newWorld(t, open)) })
	}
}

// world is a store with a clock and two tenants.
type world struct {
	*testing.T
	Store
	open   Open
	ctx    context.Context //nolint:containedctx // the test's
	ours   tenant.Scope
	theirs tenant.Scope

	mu    sync.Mutex
	clock time.Time
	made  int
}

func newWorld(t *testing.T, open Open) *world {
	t.Helper()
	w := &world{
		T: t, open: open, ctx: t.Context(), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		ours: scope(t, "ours"), theirs: scope(t, "theirs"),
	}
	w.Store = open(t, w.now)
	return w
}

func scope(t *testing.T, id tenant.ID) tenant.Scope {
	t.Helper()
	s, err := tenant.NewPrincipal(id, "tester", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// must ends the test on an error.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(fault.Detail(err))
	}
}

func (w *world) wantKind(err error, k fault.Kind) {
	w.Helper()
	if !fault.Is(err, k) {
		w.Fatalf("got %v, want kind %s", err, k)
	}
}

// draft makes a job that is not stored yet.
func (w *world) draft(s tenant.Scope, edit ...func(*job.Spec)) job.Job {
	spec := job.Spec{VMPath: fmt.Sprintf("/DC/vm/vm-%03d", w.made)}
	for _, e := range edit {
		e(&spec)
	}
	j := job.New(fmt.Sprintf("job-%03d", w.made), string(s.Tenant()), spec.WithDefaults(), w.now())
	w.made++
	return j
}

// submit stores a job of ours.
func (w *world) submit(edit ...func(*job.Spec)) job.Job {
	w.Helper()
	return w.submitTo(w.ours, edit...)
}

func (w *world) submitTo(s tenant.Scope, edit ...func(*job.Spec)) job.Job {
	w.Helper()
	j := w.draft(s, edit...)
	w.must(w.Update(w.ctx, s, func(tx service.Tx) error { return tx.Insert(&j) }))
	return j
}

func priority(p job.Priority) func(*job.Spec) { return func(s *job.Spec) { s.Priority = p } }

const lease = 15 * time.Second

// claim takes the next job for node a.
func (w *world) claim() dispatch.Lease {
	w.Helper()
	leases, err := w.Claim(w.ctx, "a", lease, 1)
	w.must(err)
	if len(leases) != 1 {
		w.Fatalf("claimed %d jobs, want 1", len(leases))
	}
	return leases[0]
}

// running submits a job and claims it.
func (w *world) running(edit ...func(*job.Spec)) dispatch.Lease {
	w.Helper()
	j := w.submit(edit...)
	l := w.claim()
	if l.Job.ID != j.ID {
		w.Fatalf("claimed %s instead of %s", l.Job.ID, j.ID)
	}
	return l
}

func (w *world) apply(l dispatch.Lease, c job.Change) job.Job {
	w.Helper()
	j, err := w.Apply(w.ctx, l, c)
	w.must(err)
	return j
}

func (w *world) job(id string) job.Job {
	w.Helper()
	j, err := w.Reader(w.ours).Job(w.ctx, id)
	w.must(err)
	return j
}

func (w *world) cancel(id, reason string) (job.Job, bool) {
	w.Helper()
	var (
		j       job.Job
		changed bool
	)
	w.must(w.Update(w.ctx, w.ours, func(tx service.Tx) (err error) {
		j, changed, err = tx.Cancel(id, reason)
		return err
	}))
	return j, changed
}

func (w *world) change(id string, c job.Change) (j job.Job, changed bool, err error) {
	err = w.Update(w.ctx, w.ours, func(tx service.Tx) (err error) {
		j, changed, err = tx.Change(id, c)
		return err
	})
	return j, changed, err
}

// mustChange is change of a job that takes it.
func (w *world) mustChange(id string, c job.Change) job.Job {
	w.Helper()
	j, _, err := w.change(id, c)
	w.must(err)
	return j
}

// wantState checks the state that the store has.
func (w *world) wantState(id string, want job.State) {
	w.Helper()
	j := w.job(id)
	if j.State != want {
		w.Fatalf("%s is %s, want %s", id, j.State, want)
	}
}

func (w *world) kinds(id string) []event.Kind {
	w.Helper()
	events, err := w.Reader(w.ours).Events(w.ctx, id, 0, 1000)
	w.must(err)
	kinds := make([]event.Kind, len(events))
	for i, e := range events {
		kinds[i] = e.Kind
	}
	return kinds
}

var errTest = errors.New("planned")
