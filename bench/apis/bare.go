package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// startBare starts this program as a server with the same HTTP stack, service, store
// and dispatcher as the daemon, and nothing of what stands around a call: whoever
// comes may do everything as often as they like, nothing is traced, and nobody puts
// the events into the audit log.
func (b *bench) startBare(ctx context.Context, dir string) (*daemon, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := &daemon{}
	if d.addr, err = free(); err != nil {
		return nil, err
	}
	d.cmd = exec.CommandContext(ctx, self, bare.name, d.addr, filepath.Join(dir, "state")) // its log goes where that of the daemon goes
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	if err := d.ready(ctx); err != nil {
		d.stop()
		return nil, err
	}
	d.api, err = client.New("http://"+d.addr, client.Options{})
	return d, err
}

// serveBare is that server; ctx ends it.
func serveBare(ctx context.Context, addr, dir string) error {
	log, _, err := telemetry.NewLogger(os.Stderr, "info", "json")
	if err != nil {
		return err
	}
	var dispatcher *dispatch.Dispatcher
	var st *store.Store
	metrics := telemetry.NewMetrics(telemetry.Sources{
		Jobs: func(ctx context.Context) (map[job.State]int64, error) {
			counts, _, err := st.Backlog(ctx)
			return counts, err
		},
		Workers: func() (int, int) { return dispatcher.Workers() }, Log: log,
	})
	if st, err = store.Open(ctx, store.Options{Dir: dir, Log: log, Committed: metrics.Committed}); err != nil {
		return err
	}
	dispatcher = dispatch.New(st, st, idle{}, dispatch.Options{Node: "bare", Workers: 1, Hooks: metrics.Dispatch(), Log: log})
	svc := service.New(telemetry.Store(st), service.Deps{Validator: idle{}, Feed: st, Pool: dispatcher, Nodes: st, Hooks: metrics.Service()})
	api, err := rest.New(ctx, rest.Deps{
		Service: svc, Inventory: idle{}, Gate: gate.New(idle{}, nil), Metrics: metrics.Handler(), Observe: metrics.Request, Log: log,
	})
	if err != nil {
		return errors.Join(err, st.Close())
	}
	var g errgroup.Group
	g.Go(func() error { return dispatcher.Run(ctx) })
	g.Go(func() error { return listen(ctx, addr, rest.NewServer(api, log)) })
	return errors.Join(g.Wait(), st.Close())
}

func listen(ctx context.Context, addr string, server *http.Server) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// idle lets everybody in, takes every job, and runs none: they wait for their time.
type idle struct{}

var everybody = tenant.NewPrincipal(tenant.Default, "bare", tenant.All()...)

func (idle) Authenticate(*http.Request) (tenant.Principal, error) { return everybody, nil }

func (idle) Validate(context.Context, job.Spec) error { return nil }

var errIdle = fault.New(fault.Unavailable, "HX-BENCH-001", "nothing runs here", "")

func (idle) Run(context.Context, dispatch.Task) (job.Outcome, error) { return job.Outcome{}, errIdle }

func (idle) Cleanup(context.Context, dispatch.Task) error { return errIdle }

func (idle) VMs(context.Context, string, ...string) ([]provider.VM, error) { return nil, errIdle }

func (idle) VM(context.Context, string, string) (provider.VM, error) { return provider.VM{}, errIdle }
