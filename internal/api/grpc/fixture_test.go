package grpc_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/api/grpc"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key = "hvk_TESTTESTTESTTESTTESTTEST"
	svc = "/hypervisord.v1.HypervisordService/"
)

// world is the real door on the real mux, service and store, served over HTTP/2
// without TLS, and a grpc-go client to it.
type world struct {
	t       *testing.T
	svc     *service.Service
	store   *store.Store
	conn    *gogrpc.ClientConn
	url     string
	inv     *inventory
	stop    context.CancelFunc // what a shutdown does
	door    *grpc.Door
	healthy atomic.Bool
	mu      sync.Mutex
	seen    []string // routes and statuses of the requests that are over
}

// setup changes what a world is made of.
type setup func(d *deps, s *http.Server)

type deps = grpc.Deps

func newWorld(t *testing.T, change ...setup) *world {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &world{t: t, stop: stop, inv: &inventory{}}
	w.healthy.Store(true)
	var err error
	w.store, err = store.Open(ctx, store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	log := slog.New(slog.DiscardHandler)
	w.svc = service.New(w.store, service.Deps{Validator: validator{}, Feed: w.store})
	g := gate.New(auth.NewRing(auth.NewKey(sha256.Sum256([]byte(key)), root()), w.store, nil), nil)
	server := rest.NewServer(nil, log)
	var api *rest.API
	d := grpc.Deps{
		Service: w.svc, Inventory: w.inv, Gate: g, Hall: stream.NewHall(ctx, g), Log: log, Version: "v0.0.0-test",
		Ready: func(ctx context.Context) bool { return api.Ready(ctx) },
	}
	for _, c := range change {
		c(&d, server)
	}
	door := grpc.New(ctx, d)
	w.door = door
	var doors []rest.Door
	for _, p := range door.Patterns() {
		doors = append(doors, rest.Door{Pattern: p, Handler: door})
	}
	api, err = rest.New(ctx, rest.Deps{Service: w.svc, Inventory: w.inv, Gate: d.Gate, Log: log, Doors: doors, Observe: func(_ context.Context, _, route string, status int, _ time.Duration) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, fmt.Sprint(route, " ", status))
	}, Health: map[string]rest.HealthCheck{
		"database": func(context.Context) rest.Check {
			if w.healthy.Load() {
				return rest.Check{Status: rest.Healthy}
			}
			return rest.Check{Status: rest.Unhealthy}
		},
	}})
	must(t, err)
	server.Handler = api
	w.serve(server)
	return w
}

func (w *world) serve(server *http.Server) {
	w.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	must(w.t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	w.url = "http://" + l.Addr().String()
	w.conn, err = gogrpc.NewClient(l.Addr().String(), gogrpc.WithTransportCredentials(insecure.NewCredentials()))
	must(w.t, err)
	w.t.Cleanup(func() {
		w.stop()
		_ = w.conn.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			w.t.Errorf("requests go on after a shutdown: %v", err)
			_ = server.Close()
		}
		<-done
	})
}

func root() tenant.Principal { return tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...) }

// as is a context with metadata: the key, unless told otherwise.
func (w *world) as(pairs ...string) context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	md := metadata.Pairs("x-api-key", key)
	for i := 0; i < len(pairs); i += 2 {
		md.Set(pairs[i], pairs[i+1])
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// call makes a call with the key.
func call[A any, PA interface {
	*A
	proto.Message
}](w *world, method string, in proto.Message) (PA, error) {
	out := PA(new(A))
	return out, w.conn.Invoke(w.as(), svc+method, in, out)
}

func (w *world) submit() string {
	w.t.Helper()
	out, err := call[pb.JobResponse](w, "SubmitJob", &pb.JobRequest{VmPath: "/DC/vm/web-01", OutputPath: "out"})
	must(w.t, err)
	return out.GetJobId()
}

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
		Receipt:   []byte(`{"receipt": {"version":1}, "signature":{}}`),
	}))
	must(w.t, err)
}

// stream opens a stream of answers.
func (w *world) stream(ctx context.Context, method string, in proto.Message) gogrpc.ClientStream {
	w.t.Helper()
	s, err := w.conn.NewStream(ctx, &gogrpc.StreamDesc{ServerStreams: true}, method)
	must(w.t, err)
	must(w.t, s.SendMsg(in))
	must(w.t, s.CloseSend())
	return s
}

// failed checks an error's code and reason, and returns the details.
func failed(t *testing.T, err error, code codes.Code, reason string) *status.Status {
	t.Helper()
	s := status.Convert(err)
	info := detail[errdetails.ErrorInfo](s)
	if s.Code() != code || info.GetReason() != reason {
		t.Errorf("%v with reason %q (%s), want %v %s", s.Code(), info.GetReason(), s.Message(), code, reason)
	}
	return s
}

// detail is the first detail of its type, nil if there is none.
func detail[D any](s *status.Status) *D {
	for _, d := range s.Details() {
		if found, ok := d.(*D); ok {
			return found
		}
	}
	return nil
}

type validator struct{}

func (validator) Validate(_ context.Context, s job.Spec) error {
	if s.Provider != "vsphere" {
		return fault.Newf(fault.Unprocessable, "HX-TEST-001", "use vsphere", "there is no provider %q", s.Provider)
	}
	return nil
}

// inventory has one VM; fail makes it fail or panic.
type inventory struct {
	fail func()
	err  error
}

func (i *inventory) VMs(context.Context, string, ...string) ([]provider.VM, error) {
	if i.fail != nil {
		i.fail()
	}
	return []provider.VM{{Provider: "vsphere", ID: "vm-1", Path: "/DC/vm/web-01", Name: "web-01"}}, i.err
}

func (i *inventory) VM(context.Context, string, string) (provider.VM, error) {
	return provider.VM{}, fault.New(fault.NotFound, "HX-TEST-002", "no such VM", "list them")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}
