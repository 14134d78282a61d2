package graph_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/api/graph"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "hvk_TESTTESTTESTTESTTESTTEST"

// world is the real doors over the real service and store, served over TCP.
type world struct {
	t       *testing.T
	svc     *service.Service
	store   *store.Store
	limiter *limiter
	inv     *inventory
	server  *httptest.Server
	log     *syncBuffer
	stop    context.CancelFunc // what a shutdown does
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &world{t: t, log: &syncBuffer{}, limiter: &limiter{}, inv: &inventory{}, stop: stop}
	var err error
	w.store, err = store.Open(ctx, store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	log, _, err := telemetry.NewLogger(w.log, "debug", "json")
	must(t, err)
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := audit.NewSigner("n1", private)
	must(t, err)
	w.store.SignLog(signer)
	sealer, err := seal.New(make([]byte, 32))
	must(t, err)
	w.svc = service.New(w.store, service.Deps{Validator: validator{}, Feed: w.store, Seal: sealer})
	auditor := service.NewAudit(w.store)
	entry := gate.New(auth.NewRing(auth.NewKey(sha256.Sum256([]byte(key)), root()), w.store, nil), w.limiter)
	hall := stream.NewHall(ctx, entry)
	retention := service.NewRetention(w.store, outputs{}, service.RetentionPolicy{ArtifactCount: 1}, service.RetentionHooks{}, nil, log)
	door := graph.New(graph.Deps{
		Service: w.svc, Retention: retention, Audit: auditor, Inventory: w.inv, Gate: entry, Hall: hall, Log: log, Version: "v0.0.0-test",
	})
	api, err := rest.New(ctx, rest.Deps{
		Service: w.svc, Retention: retention, Audit: auditor, Inventory: w.inv, Gate: entry, Log: log, Version: "v0.0.0-test",
		Doors: []rest.Door{{Pattern: graph.Pattern, Handler: door}},
	})
	must(t, err)
	w.server = httptest.NewUnstartedServer(nil)
	w.server.Config = rest.NewServer(api, log)
	w.server.Start()
	t.Cleanup(func() {
		stop() // ends the streams, which Close waits for
		w.server.Close()
		hall.Wait(context.WithoutCancel(t.Context()))
	})
	return w
}

func root() tenant.Principal {
	return tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...)
}

// reply is an answer of the door.
type reply struct {
	status int
	header http.Header
	body   string
	Data   map[string]any `json:"data"`
	Errors []struct {
		Message    string         `json:"message"`
		Path       []any          `json:"path"`
		Extensions map[string]any `json:"extensions"`
	} `json:"errors"`
}

// code is that of the first error, or "".
func (r reply) code() string { return r.extension("code") }

// kind is that of the first error, or "".
func (r reply) kind() string { return r.extension("kind") }

func (r reply) extension(name string) string {
	if len(r.Errors) == 0 {
		return ""
	}
	text, _ := r.Errors[0].Extensions[name].(string)
	return text
}

// at is a part of the data.
func (r reply) at(path ...string) any {
	var v any = r.Data
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// post sends a body as it is. headers are pairs and may override.
func (w *world) post(body string, headers ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.server.URL+"/graphql", strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.server.Client().Do(req)
	must(w.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(w.t, err)
	r := reply{status: res.StatusCode, header: res.Header, body: string(text)}
	if res.Header.Get("Content-Type") == "application/json" {
		must(w.t, json.Unmarshal(text, &r))
	}
	return r
}

// ask executes a query with variables.
func (w *world) ask(query string, vars map[string]any, headers ...string) reply {
	w.t.Helper()
	return w.post(request(w.t, query, vars), headers...)
}

func request(t *testing.T, query string, vars map[string]any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	must(t, err)
	return string(body)
}

// submit makes a job.
func (w *world) submit() string {
	w.t.Helper()
	r, err := w.svc.Submit(w.t.Context(), root(), []job.Spec{{VMPath: "/DC/vm/web-01", OutputPath: "out"}}, service.SubmitOptions{})
	must(w.t, err)
	return r.Jobs[0].ID
}

// claim starts the job that is next, as a dispatcher does.
func (w *world) claim() dispatch.Lease {
	w.t.Helper()
	leases, err := w.store.Claim(w.t.Context(), "n1", time.Minute, 1)
	must(w.t, err)
	if len(leases) != 1 {
		w.t.Fatal("no job to claim")
	}
	return leases[0]
}

func (w *world) progress(l dispatch.Lease, percent float64) {
	w.t.Helper()
	_, err := w.store.Renew(w.t.Context(), l, time.Minute, &job.Progress{Phase: "copying", Percent: percent, ETA: -1, UpdatedAt: time.Now().UTC()})
	must(w.t, err)
}

func (w *world) complete(l dispatch.Lease) {
	w.t.Helper()
	_, err := w.store.Apply(w.t.Context(), l, job.CompleteWith("n1", job.Outcome{
		Artifacts: []job.Artifact{{Name: "web-01.ova", URL: "file:///out/web-01.ova", Format: "ova", Bytes: 5 << 40}},
		Receipt:   json.RawMessage(`{"receipt":{"version":1},"signature":{"value":"AA=="}}`),
	}))
	must(w.t, err)
}

// validator refuses jobs for a provider that is not there.
type validator struct{}

func (validator) Validate(_ context.Context, s job.Spec) error {
	if s.Provider != "vsphere" && !s.IsWorkflow() {
		return fault.Newf(fault.Unprocessable, "HX-TEST-001", "use vsphere", "there is no provider %q", s.Provider)
	}
	return nil
}

// outputs removes everything.
type outputs struct{}

func (outputs) Remove(_ context.Context, j job.Job, _ bool) (int64, error) {
	return j.Artifacts[0].Bytes, nil
}

// inventory holds one VM; fail is called first.
type inventory struct{ fail func() error }

func (i *inventory) VMs(context.Context, string, ...string) ([]provider.VM, error) {
	if i.fail != nil {
		return nil, i.fail()
	}
	return []provider.VM{machine}, nil
}

func (i *inventory) VM(_ context.Context, _, ref string) (provider.VM, error) {
	if ref != machine.ID {
		return provider.VM{}, fault.New(fault.NotFound, "HX-TEST-002", "no such VM", "list them")
	}
	return machine, nil
}

var machine = provider.VM{
	Provider: "vsphere", ID: "vm-1", Path: "/DC/vm/web-01", Name: "web-01", UUID: "u1", PowerState: "on", CPUs: 2, MemoryMB: 512,
	Disks: []provider.Disk{{Key: "2000", Label: "Hard disk 1", CapacityBytes: 1 << 40}},
}

// limiter notes what is charged, and refuses what it is told to.
type limiter struct {
	mu     sync.Mutex
	taken  []string
	refuse string
}

func (l *limiter) Take(_ tenant.Principal, operation string) (gate.Allowance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, operation)
	a := gate.Allowance{Policy: operation, Limit: 10, Window: time.Minute, Remaining: 3, Reset: 6500 * time.Millisecond}
	if operation == l.refuse {
		a.Remaining = 0
		return a, fault.New(fault.Exhausted, "HX-TEST-003", "too often", "wait")
	}
	return a, nil
}

func (l *limiter) drain() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.taken
	l.taken = nil
	return taken
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}
