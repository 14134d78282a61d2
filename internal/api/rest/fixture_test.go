package rest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/api/rest"
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

// world is the real door over the real service and store, served over TCP.
type world struct {
	t      *testing.T
	dir    string // of the store
	svc    *service.Service
	store  *store.Store
	server *httptest.Server
	http   *http.Client // every answer is compared with the OpenAPI document
	api    *client.Client
	log    *syncBuffer
	inv    *inventory
	stop   context.CancelFunc // what a shutdown does
	later  time.Duration      // how far the clock of the sessions is ahead
}

func (w *world) now() time.Time { return time.Now().Add(w.later) }

// setup changes what a world is made of.
type setup func(d *rest.Deps, s *http.Server)

func newWorld(t *testing.T, change ...setup) *world {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &world{t: t, dir: t.TempDir(), log: &syncBuffer{}, inv: &inventory{vms: machines()}, stop: stop}
	var err error
	w.store, err = store.Open(ctx, store.Options{Dir: w.dir, Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := audit.NewSigner("n1", private)
	must(t, err)
	w.store.SignLog(signer)
	log, _, err := telemetry.NewLogger(w.log, "debug", "json")
	must(t, err)
	sealer, err := seal.New(make([]byte, 32))
	must(t, err)
	w.svc = service.New(w.store, service.Deps{Validator: validator{}, Feed: w.store, Seal: sealer})
	ring := auth.NewRing(auth.NewKey(digest(key), root()), w.store, nil)
	sessions := auth.NewSessions(ring, ring, w.store, auth.SessionRules{Idle: 30 * time.Minute, Lifetime: 12 * time.Hour, Secure: gate.Proxies{}.TLS}, w.now)
	deps := rest.Deps{
		Service:   w.svc,
		Retention: service.NewRetention(w.store, outputs{}, service.RetentionPolicy{ArtifactCount: 1}, service.RetentionHooks{}, nil, log),
		Audit:     service.NewAudit(w.store),
		Inventory: w.inv,
		Gate:      gate.New(sessions, nil),
		Sessions:  sessions,
		Log:       log,
		Version:   "v0.0.0-test",
		Health: map[string]rest.HealthCheck{
			"database": func(context.Context) rest.Check { return rest.Check{Status: rest.Healthy} },
		},
	}
	w.server = httptest.NewUnstartedServer(nil)
	w.server.Config = rest.NewServer(nil, log)
	for _, c := range change {
		c(&deps, w.server.Config)
	}
	w.server.Config.Handler, err = rest.New(ctx, deps)
	must(t, err)
	w.server.Start()
	t.Cleanup(func() {
		stop() // ends the streams, which Close waits for
		w.server.Close()
	})
	w.http = &http.Client{Transport: newConformance(t, w.server), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.api, err = client.New(w.server.URL, client.Options{APIKey: key, HTTPClient: w.http})
	must(t, err)
	return w
}

// root is the holder of the first key.
func root() tenant.Principal {
	return tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...)
}

// answer is a response that was read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem decodes an error.
func (a answer) problem(t *testing.T) client.Error {
	t.Helper()
	var p client.Error
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d with content type %q: %s", a.status, got, a.body)
	}
	must(t, json.Unmarshal([]byte(a.body), &p))
	return p
}

// call makes one request with the key. headers are pairs and may override.
func (w *world) call(method, path, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("X-Api-Key", key)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.http.Do(req)
	must(w.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(w.t, err)
	return answer{res.StatusCode, res.Header, string(text)}
}

func (w *world) submit(n int) []string {
	w.t.Helper()
	specs := make([]client.Spec, n)
	for i := range specs {
		specs[i] = client.Spec{VMPath: "/DC/vm/web-01", OutputPath: "out"}
	}
	got, err := w.api.Submit(w.t.Context(), specs...)
	must(w.t, err)
	if len(got.JobIDs) != n {
		w.t.Fatalf("%+v", got)
	}
	return got.JobIDs
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
		Artifacts: []job.Artifact{{Name: "web-01.ova", URL: "file:///out/web-01.ova", Format: "ova", Bytes: 7}},
		Receipt:   json.RawMessage(sampleReceipt),
	}))
	must(w.t, err)
}

const sampleReceipt = `{"receipt":{"version":1,"job_id":"x","tool":"t","format":"ova","vm":{"provider":"vsphere","path":"/DC/vm/web-01","id":"vm-1","uuid":"u"},` +
	`"started_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:01:00Z","verified":"full","disks":[],"files":[]},` +
	`"signature":{"algorithm":"ed25519","public_key":"AA==","value":"AA=="}}`

// validator refuses jobs for a provider that is not there.
type validator struct{}

func (validator) Validate(_ context.Context, s job.Spec) error {
	if s.Provider != "vsphere" {
		return fault.Newf(fault.Unprocessable, "HX-TEST-001", "use vsphere", "there is no provider %q", s.Provider)
	}
	return nil
}

// outputs removes everything.
type outputs struct{}

func (outputs) Remove(_ context.Context, j job.Job, _ bool) (int64, error) {
	return j.Artifacts[0].Bytes, nil
}

// inventory is a list of VMs; fail makes it fail or panic.
type inventory struct {
	vms   []provider.VM
	fail  func()
	err   error
	asked []string
}

func (i *inventory) VMs(_ context.Context, _ string, patterns ...string) ([]provider.VM, error) {
	i.asked = patterns
	if i.fail != nil {
		i.fail()
	}
	return i.vms, i.err
}

func (i *inventory) VM(_ context.Context, _, ref string) (provider.VM, error) {
	for _, vm := range i.vms {
		if vm.ID == ref || vm.Path == ref {
			return vm, i.err
		}
	}
	return provider.VM{}, fault.New(fault.NotFound, "HX-TEST-002", "no such VM", "list them")
}

func machines() []provider.VM {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return []provider.VM{
		{
			Provider: "vsphere", ID: "vm-1", Path: "/DC/vm/web-01", Name: "web-01", UUID: "u1", PowerState: "on", CPUs: 2, MemoryMB: 512, Created: &created,
			Disks:    []provider.Disk{{Key: "2000", Label: "Hard disk 1", CapacityBytes: 1 << 40}},
			NICs:     []provider.NIC{{Label: "n", Type: "vmxnet3", Network: "net"}},
			Blockers: []provider.Blocker{{Code: "c", Msg: "m"}},
		},
		{Provider: "vsphere", ID: "vm-2", Path: "/DC/vm/<b>&", Name: "<b>&", PowerState: "off"},
	}
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

var discard = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

func digest(s string) auth.Digest { return sha256.Sum256([]byte(s)) }
