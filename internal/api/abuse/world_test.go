package abuse_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hypersdk/hypersdk/internal/api/graph"
	"github.com/hypersdk/hypersdk/internal/api/grpc"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/auth/issuertest"
	"github.com/hypersdk/hypersdk/internal/egress"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Addresses of this machine that have a part of their own.
const (
	proxyIP    = "127.0.0.2"  // of the proxy that is trusted
	receiverIP = "127.0.0.77" // of the one network that webhooks may call
)

// world is all doors over one real service and store, with the real gate, limits
// and webhooks, on one port; and the same with little patience on another.
type world struct {
	t        *testing.T
	svc      *service.Service
	store    *store.Store
	log      *lines
	panics   atomic.Bool // what the doors call panics
	api      *rest.API
	logger   *slog.Logger
	stop     context.CancelFunc // ends the streams
	addr     string             // of the server
	hasty    string             // of the server whose time-outs are short
	conn     *gogrpc.ClientConn
	inside   *receiver          // is not to be called by webhooks
	outside  *receiver          // may be
	issuer   *issuertest.Issuer // whose tokens are taken
	ahead    atomic.Int64       // how far the clock is ahead by which tokens are judged
	root     caller
	viewer   string // a key of us that may only look
	us, them party  // two tenants
}

// party is a tenant with an object of each kind.
type party struct {
	caller

	id                                             tenant.ID
	job, schedule, profile, key, webhook, delivery string
}

// burst is how many calls a caller may make at once of each policy.
const burst = 200

// strangerBurst is how many calls an address may make without a key.
const strangerBurst = 1100

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &world{t: t, log: &lines{}, stop: stop}
	log, _, err := telemetry.NewLogger(w.log, "debug", "json")
	must(t, err)
	w.store, err = store.Open(ctx, store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	key, err := seal.New(make([]byte, 32))
	must(t, err)
	w.svc = service.New(w.store, service.Deps{Validator: validator{w}, Feed: feed{w.store, w}, Nodes: w.store, Seal: key})
	limits := gate.NewLimits(gate.Rates{PerMinute: 600_000, Burst: burst, Own: map[string]int{"/nodes": 1}}, nil)
	ring := auth.NewRing(auth.NewKey(sha256.Sum256([]byte(rootKey)), tenant.NewPrincipal(tenant.Default, "root", tenant.All()...)), w.store, nil)
	entrance := gate.New(auth.NewCredentials(ring, w.tokens(), nil), limits).
		Behind(gate.Proxies{netip.MustParsePrefix(proxyIP + "/32")}, nil)
	entrance.LimitStrangers(1, strangerBurst, nil, nil)
	api := w.doors(ctx, log, entrance)
	w.api, w.logger = api, log
	must(t, limits.Assign(api.Operations()))
	hasty := rest.NewServer(api, log)
	hasty.ReadHeaderTimeout, hasty.ReadTimeout = 100*time.Millisecond, 300*time.Millisecond
	w.hasty = w.serve(hasty, stop)
	w.addr = w.serve(rest.NewServer(api, log), stop)
	w.conn, err = gogrpc.NewClient(w.addr, gogrpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = w.conn.Close() })
	w.inside, w.outside = w.receiver("127.0.0.1"), w.receiver(receiverIP)
	w.send(ctx, stop, key, log)
	w.root = w.caller("127.1.0.1", rootKey)
	w.us, w.them = w.party("us", "127.1.0.2"), w.party("them", "127.1.0.3")
	w.viewer = w.member(w.us.id, "127.1.0.4", tenant.Viewer).key
	return w
}

const rootKey = "hvk_ROOTROOTROOTROOTROOTROOT"

func (w *world) doors(ctx context.Context, log *slog.Logger, entrance *gate.Gate) *rest.API {
	w.t.Helper()
	metrics := telemetry.NewMetrics(telemetry.Sources{
		Jobs:    func(context.Context) (map[job.State]int64, error) { return map[job.State]int64{}, nil },
		Workers: func() (int, int) { return 1, 0 }, Version: "v0.0.0-test", Log: log,
	})
	hall := stream.NewHall(ctx, entrance)
	var api *rest.API
	door := grpc.New(ctx, grpc.Deps{
		Service: w.svc, Audit: service.NewAudit(w.store), Inventory: inventory{w}, Gate: entrance, Hall: hall, Log: log, Version: "v0.0.0-test",
		Ready: func(ctx context.Context) bool { return api.Ready(ctx) },
	})
	doors := []rest.Door{{Pattern: graph.Pattern, Handler: graph.New(graph.Deps{
		Service: w.svc, Audit: service.NewAudit(w.store), Inventory: inventory{w}, Gate: entrance, Hall: hall, Log: log, Version: "v0.0.0-test",
	})}}
	for _, p := range door.Patterns() {
		doors = append(doors, rest.Door{Pattern: p, Handler: door})
	}
	api, err := rest.New(ctx, rest.Deps{
		Service: w.svc, Inventory: inventory{w}, Gate: entrance, Hall: hall, Log: log, Version: "v0.0.0-test", Doors: doors,
		Metrics: metrics.Handler(), Observe: metrics.Request, Audit: service.NewAudit(w.store),
	})
	must(w.t, err)
	return api
}

// serve serves until the test is over; stop ends the streams.
func (w *world) serve(server *http.Server, stop context.CancelFunc) (addr string) {
	w.t.Helper()
	return w.serveOn(listen(w.t, "127.0.0.1"), server, stop)
}

func (w *world) serveOn(l net.Listener, server *http.Server, stop context.CancelFunc) (addr string) {
	w.t.Helper()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	w.t.Cleanup(func() {
		stop()
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

// send carries out deliveries until stop.
func (w *world) send(ctx context.Context, stop context.CancelFunc, key *seal.Key, log *slog.Logger) {
	policy := egress.Policy{
		Private: []netip.Prefix{netip.MustParsePrefix(receiverIP + "/32")}, Resolver: &net.Resolver{PreferGo: true, Dial: names},
		Ports: []uint16{443, w.inside.port()}, // so that only the address keeps calls away from it
	}
	box := outbox.New(w.store, outbox.Options{Node: "n1", Key: key, Client: policy.Client(), Agent: "hypervisord/test", Log: log})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := box.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { stop(); wg.Wait() })
}

// party makes a tenant that calls from an address.
func (w *world) party(id, ip string) party {
	w.t.Helper()
	ctx := w.t.Context()
	root := tenant.NewPrincipal(tenant.Default, "root", tenant.All()...)
	o := party{id: tenant.ID(id), profile: "p-" + id}
	us := tenant.NewPrincipal(o.id, "us", tenant.All()...)
	_, err := w.svc.CreateTenant(ctx, root, o.id, service.TenantChange{})
	must(w.t, err)
	o.caller = w.member(o.id, ip, tenant.Admin)
	weak, err := w.svc.CreateKey(ctx, root, o.id, service.KeyRequest{Name: "weak", Role: tenant.Viewer})
	must(w.t, err)
	jobs, err := w.svc.Submit(ctx, us, []job.Spec{{VMPath: "/DC/vm/web-01"}}, service.SubmitOptions{})
	must(w.t, err)
	_, err = w.svc.PutProfile(ctx, us, o.profile, []byte("name: Raw\ndefaults: {format: raw, verify: none}"), "application/yaml")
	must(w.t, err)
	sch, err := w.svc.CreateSchedule(ctx, us, schedule.Definition{Name: "nightly-" + id, Cron: "@yearly", Jobs: []job.Spec{{VMPath: "/DC/vm/web-01"}}})
	must(w.t, err)
	o.key, o.job, o.schedule = weak.Key.ID, jobs.Jobs[0].ID, sch.ID
	o.webhook, _ = o.caller.webhook("ops-"+id, w.outside.url+"/ok")
	o.delivery, _ = o.test(o.webhook)
	return o
}

// member makes a key of a tenant and calls from an address.
func (w *world) member(id tenant.ID, ip string, role tenant.Role) caller {
	w.t.Helper()
	root := tenant.NewPrincipal(tenant.Default, "root", tenant.All()...)
	made, err := w.svc.CreateKey(w.t.Context(), root, id, service.KeyRequest{Name: "caller-" + ip, Role: role})
	must(w.t, err)
	return w.caller(ip, made.Secret.Reveal())
}

// oops panics with a secret if it is to.
func (w *world) oops() {
	if w.panics.Load() {
		panic(canary)
	}
}

// feed is that of the store.
type feed struct {
	service.Feed

	w *world
}

func (f feed) Watch(topic event.Topic) (wake <-chan struct{}, stop func()) {
	f.w.oops()
	return f.Feed.Watch(topic)
}

type validator struct{ w *world }

func (v validator) Validate(_ context.Context, s job.Spec) error {
	v.w.oops()
	if !s.IsWorkflow() && s.Provider != "vsphere" {
		return fault.Newf(fault.Unprocessable, "HX-TEST-001", "use vsphere", "there is no provider %q", s.Provider)
	}
	return nil
}

type inventory struct{ w *world }

func (i inventory) VMs(context.Context, string, ...string) ([]provider.VM, error) {
	i.w.oops()
	return []provider.VM{{Provider: "vsphere", ID: "vm-1", Path: "/DC/vm/web-01", Name: "web-01"}}, nil
}

func (inventory) VM(context.Context, string, string) (provider.VM, error) {
	return provider.VM{}, fault.New(fault.NotFound, "HX-TEST-002", "no such VM", "list them")
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

func listen(t testing.TB, ip string) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ip+":0")
	must(t, err)
	return l
}

// eventually asks until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("still waiting: ", what)
		}
	}
}

// webhook creates one by REST.
func (c caller) webhook(name, url string) (id, secret string) {
	c.t.Helper()
	text, err := json.Marshal(map[string]any{"name": name, "url": url, "events": []string{"webhook.test"}})
	must(c.t, err)
	got := c.do("POST", "/webhooks", string(text))
	var made struct {
		Secret  string `json:"secret"`
		Webhook struct {
			ID string `json:"id"`
		} `json:"webhook"`
	}
	if got.status != http.StatusCreated {
		c.t.Fatalf("%s: %+v", url, got)
	}
	must(c.t, json.Unmarshal([]byte(got.body), &made))
	return made.Webhook.ID, made.Secret
}

// test sends a test through a webhook and waits for its end. class is empty if it
// was delivered.
func (c caller) test(id string) (delivery, class string) {
	c.t.Helper()
	var d struct {
		ID     string `json:"id"`
		Status string `json:"status"`
		Error  string `json:"last_error"`
	}
	got := c.do("POST", "/webhooks/"+id+"/test", "")
	if got.status != http.StatusAccepted {
		c.t.Fatalf("%+v", got)
	}
	must(c.t, json.Unmarshal([]byte(got.body), &d))
	eventually(c.t, "the delivery "+d.ID, func() bool {
		must(c.t, json.Unmarshal([]byte(c.do("GET", "/webhooks/"+id+"/deliveries/"+d.ID, "").body), &d))
		return d.Status != "pending"
	})
	return d.ID, d.Error
}

// receiver is a server that webhooks might call.
type receiver struct {
	url string
	at  netip.AddrPort

	mu    sync.Mutex
	calls []message
	leads string // where /redirect leads to
}

type message struct {
	header http.Header
	body   []byte
}

func (r *receiver) port() uint16 { return r.at.Port() }

func (r *receiver) got() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message(nil), r.calls...)
}

func (w *world) receiver(ip string) *receiver {
	w.t.Helper()
	l := listen(w.t, ip)
	r := &receiver{url: "http://" + l.Addr().String(), at: netip.MustParseAddrPort(l.Addr().String())}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.calls = append(r.calls, message{req.Header.Clone(), body})
		to := r.leads
		r.mu.Unlock()
		if req.URL.Path == "/redirect" {
			http.Redirect(rw, req, to, http.StatusTemporaryRedirect)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	w.t.Cleanup(func() { _ = server.Close(); <-done })
	return r
}
