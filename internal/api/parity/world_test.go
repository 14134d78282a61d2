package parity_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/api/graph"
	"github.com/hypersdk/hypersdk/internal/api/grpc"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is all doors over one real service and store, on one port.
type world struct {
	t       *testing.T
	svc     *service.Service
	store   *store.Store
	limits  *limiter
	sealer  *seal.Key
	addr    string
	drivers []driver
}

const version = "v0.0.0-test"

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &world{t: t, limits: &limiter{left: map[string]int{}}}
	var err error
	w.store, err = store.Open(ctx, store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := audit.NewSigner("n1", private)
	must(t, err)
	w.store.SignLog(signer)
	w.sealer, err = seal.New(make([]byte, 32))
	must(t, err)
	w.svc = service.New(w.store, service.Deps{Validator: validator{}, Feed: w.store, Pool: pool{}, Nodes: w.store, Seal: w.sealer})
	auditor := service.NewAudit(w.store)
	w.sink(ctx)
	log := slog.New(slog.DiscardHandler)
	retention := service.NewRetention(w.store, outputs{}, service.RetentionPolicy{ArtifactAge: time.Nanosecond}, service.RetentionHooks{}, nil, log)
	entrance := gate.New(auth.NewRing(auth.NewKey(sha256.Sum256([]byte("hvk_ROOT")), root()), w.store, nil), w.limits)
	hall := stream.NewHall(ctx, entrance)
	var api *rest.API
	door := grpc.New(ctx, grpc.Deps{
		Service: w.svc, Retention: retention, Audit: auditor, Inventory: inventory{}, Gate: entrance, Hall: hall, Log: log, Version: version,
		Ready: func(ctx context.Context) bool { return api.Ready(ctx) },
	})
	var doors []rest.Door
	for _, p := range door.Patterns() {
		doors = append(doors, rest.Door{Pattern: p, Handler: door})
	}
	doors = append(doors, rest.Door{Pattern: graph.Pattern, Handler: graph.New(graph.Deps{
		Service: w.svc, Retention: retention, Audit: auditor, Inventory: inventory{}, Gate: entrance, Hall: hall, Log: log, Version: version,
	})})
	api, err = rest.New(ctx, rest.Deps{
		Service: w.svc, Retention: retention, Audit: auditor, Inventory: inventory{}, Gate: entrance, Log: log, Version: version, Doors: doors,
		Metrics: http.NotFoundHandler(),
	})
	must(t, err)
	w.serve(api, log, stop)
	w.drivers = []driver{newREST(t, w.addr), newGRPC(t, w.addr), newGraphQL(t, w.addr)}
	return w
}

func (w *world) serve(h http.Handler, log *slog.Logger, stop context.CancelFunc) {
	w.t.Helper()
	server := rest.NewServer(h, log)
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	must(w.t, err)
	w.addr = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	w.t.Cleanup(func() {
		stop() // ends the streams
		_ = server.Close()
		<-done
	})
}

func root() tenant.Principal { return tenant.NewPrincipal(tenant.Default, "root", tenant.All()...) }

// objects are what a tenant of the tests has.
type objects struct {
	tenant   tenant.ID
	us       tenant.Principal // may do everything in it
	secret   string           // a key of the caller's role
	caller   tenant.Principal // its holder
	key      string           // id of another key
	job      string           // a pending job
	ended    string           // a cancelled one
	schedule string
	profile  string
	webhook  string
	delivery string // a test that waits
	signing  string // the secret of the webhook
	pos      int64  // the place of an entry in the log
}

// tenant makes a tenant, a key of the role, and the objects that an operation is about
// ("", and the stream of all events: all).
func (w *world) tenant(id string, role tenant.Role, op string) objects {
	w.t.Helper()
	ctx := w.t.Context()
	o := objects{tenant: tenant.ID(id), us: tenant.NewPrincipal(tenant.ID(id), "us", tenant.All()...), profile: "p-" + id}
	_, err := w.svc.CreateTenant(ctx, root(), o.tenant, service.TenantChange{})
	must(w.t, err)
	caller, err := w.svc.CreateKey(ctx, root(), o.tenant, service.KeyRequest{Name: "caller", Role: role})
	must(w.t, err)
	o.secret = caller.Secret.Reveal()
	o.caller, err = caller.Key.Principal(time.Now())
	must(w.t, err)
	about := func(word string) bool { return op == "" || op == "stream_events" || strings.Contains(op, word) }
	if about("key") {
		weak, err := w.svc.CreateKey(ctx, root(), o.tenant, service.KeyRequest{Name: "weak", Role: tenant.Viewer})
		must(w.t, err)
		o.key = weak.Key.ID
	}
	if about("job") || about("receipt") || about("usage") {
		w.jobs(&o)
	}
	if about("profile") {
		_, err = w.svc.PutProfile(ctx, o.us, o.profile, []byte("name: Raw\ndefaults: {format: raw, verify: none}"), "application/yaml")
		must(w.t, err)
	}
	if about("schedule") {
		sch, err := w.svc.CreateSchedule(ctx, o.us, schedule.Definition{Name: "nightly", Cron: "@yearly", Jobs: []job.Spec{{VMPath: "/DC/vm/web-01"}}})
		must(w.t, err)
		o.schedule = sch.ID
	}
	if about("webhook") || about("deliver") {
		w.webhook(&o)
	}
	if about("audit") {
		w.place(&o)
	}
	return o
}

// webhook makes a webhook and a test that it is to send. The canary is what no
// answer may hold.
func (w *world) webhook(o *objects) {
	w.t.Helper()
	made, err := w.svc.CreateWebhook(w.t.Context(), o.us, webhook.Definition{Name: "ops", URL: "https://hooks.example.com/" + canary})
	must(w.t, err)
	o.webhook, o.signing = made.Webhook.ID, made.Secret.Reveal()
	test, err := w.svc.TestWebhook(w.t.Context(), o.us, o.webhook)
	must(w.t, err)
	o.delivery = test.ID
}

const canary = "T0/canary"

// place gives the events their places in the log.
func (w *world) place(o *objects) {
	w.t.Helper()
	_, err := w.store.Sequence(w.t.Context(), 100_000)
	must(w.t, err)
	page, err := service.NewAudit(w.store).Entries(w.t.Context(), o.us, service.AuditQuery{Tenant: o.tenant})
	must(w.t, err)
	o.pos = page.Entries[0].Pos
}

// jobs makes a pending job and a cancelled one.
func (w *world) jobs(o *objects) {
	w.t.Helper()
	r, err := w.svc.Submit(w.t.Context(), o.us, []job.Spec{{VMPath: "/DC/vm/web-01", Labels: map[string]string{"a": "b"}}, {VMPath: "/DC/vm/web-02"}}, service.SubmitOptions{})
	must(w.t, err)
	o.job, o.ended = r.Jobs[0].ID, r.Jobs[1].ID
	_, err = w.svc.Cancel(w.t.Context(), o.us, o.ended, "no need")
	must(w.t, err)
}

// complete runs the tenant's pending job to its end.
func (w *world) complete(o objects) {
	w.t.Helper()
	ctx := w.t.Context()
	for { // jobs of other tenants may be next
		leases, err := w.store.Claim(ctx, "n1", time.Minute, 1)
		must(w.t, err)
		if len(leases) == 0 {
			w.t.Fatal("no job to claim")
		}
		l := leases[0]
		_, err = w.store.Renew(ctx, l, time.Minute, &job.Progress{Phase: "copying", Percent: 50, BytesRead: 1 << 40, ETA: -1, UpdatedAt: time.Now().UTC()})
		must(w.t, err)
		_, err = w.store.Apply(ctx, l, job.CompleteWith("n1", job.Outcome{
			Artifacts: []job.Artifact{{Name: "web-01.ova", URL: "file:///out/web-01.ova", Path: "/out/web-01.ova", Format: "ova", Bytes: 1 << 40, SHA256: "00"}},
			Receipt:   json.RawMessage(`{"receipt":{"version":1},"signature":{"algorithm":"ed25519"}}`), BytesRead: 5, BytesTransferred: 3,
		}))
		must(w.t, err)
		if l.Job.ID == o.job {
			return
		}
	}
}

// limiter is a limit that a test sets: how many turns of an operation are left for
// whoever asks.
type limiter struct {
	mu   sync.Mutex
	left map[string]int // by operation; absent: no limit
}

func (l *limiter) set(op string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left[op] = n
}

func (l *limiter) Take(_ tenant.Principal, op string) (gate.Allowance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, limited := l.left[op]
	a := gate.Allowance{Policy: op, Limit: 1, Window: time.Minute, Reset: time.Minute}
	switch {
	case !limited:
		return gate.Allowance{}, nil
	case n == 0:
		return a, fault.New(fault.Exhausted, "HX-TEST-004", "no turn is left", "wait")
	}
	l.left[op]--
	return a, nil
}

type validator struct{}

func (validator) Validate(_ context.Context, s job.Spec) error {
	if !s.IsWorkflow() && s.Provider != "vsphere" {
		return fault.Newf(fault.Unprocessable, "HX-TEST-001", "use vsphere", "there is no provider %q", s.Provider)
	}
	return nil
}

type pool struct{}

func (pool) Workers() (size, busy int) { return 4, 4 }

func (pool) Scaling() (admission.Bounds, admission.Scaling) {
	return admission.Bounds{Min: 1, Max: 8}, admission.Scaling{Reason: "steady"}
}

// outputs removes everything.
type outputs struct{}

func (outputs) Remove(_ context.Context, j job.Job, _ bool) (int64, error) {
	return j.Artifacts[0].Bytes, nil
}

// inventory has one VM with everything that a VM can have.
type inventory struct{}

func (inventory) VMs(_ context.Context, name string, patterns ...string) ([]provider.VM, error) {
	if name == "none" {
		return nil, fault.New(fault.NotFound, "HX-TEST-003", "no such provider", "list them")
	}
	vm := machine()
	vm.Snapshots = patterns
	return []provider.VM{vm, {Provider: "vsphere", ID: "vm-2", Path: "/DC/vm/<b>&", Name: "<b>&", PowerState: "off"}}, nil
}

func (inventory) VM(_ context.Context, _, ref string) (provider.VM, error) {
	if ref != "vm-1" {
		return provider.VM{}, fault.New(fault.NotFound, "HX-TEST-002", "no such VM", "list them")
	}
	return machine(), nil
}

func machine() provider.VM {
	created := time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC)
	return provider.VM{
		Provider: "vsphere", ID: "vm-1", Path: "/DC/vm/web-01", Name: "web-01", UUID: "u1", BIOSUUID: "b1", PowerState: "on", Host: "h", Datastore: "ds",
		Firmware: "efi", SecureBoot: true, GuestID: "debian12_64Guest", GuestName: "Debian", CPUs: 2, MemoryMB: 512, Hardware: "vmx-19", CBT: true, Created: &created,
		Disks: []provider.Disk{{
			Key: "2000", Label: "Hard disk 1", CapacityBytes: 1 << 40, UsedBytes: 7, UUID: "d", Datastore: "ds", Path: "[ds] a.vmdk", Backing: "flat",
			Mode: "persistent", Thin: true, Controller: "pvscsi", Bus: 1, Unit: 2, ChangeID: "c",
		}},
		NICs:     []provider.NIC{{Label: "n", Type: "vmxnet3", MAC: "00:50:56:00:00:01", Network: "net"}},
		Blockers: []provider.Blocker{{Code: "c", Msg: "m", Fix: "f", Fatal: true}},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

func (l *limiter) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.left)
}

// sink is one of the audit log, which has failed once.
func (w *world) sink(ctx context.Context) {
	must(w.t, w.store.RegisterSinks(ctx, "n1", []auditsink.Named{{Name: "archive", Kind: "file"}}))
	must(w.t, w.store.AppendRefusals(ctx, []event.Refusal{{Actor: "x", Operation: "enter", Count: 1, Time: time.Now()}}))
	_, err := w.store.Sequence(ctx, 10)
	must(w.t, err)
	b, _, err := w.store.BeginBatch(ctx, auditsink.Claim{Sink: "archive", Node: "n1", Limit: 10, Time: time.Minute})
	must(w.t, err)
	must(w.t, w.store.SettleBatch(ctx, b, auditsink.Result{Error: "HX-TEST-001 no", Pause: time.Hour}))
}
