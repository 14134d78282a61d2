// Package daemon puts the parts together: configuration, engine, doors, health,
// start and stop. It is the only package that sees all others.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/step/hyper2kvm"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/version"
)

// stopTime is how long requests may take to end, and logging out from vCenter.
const stopTime = 15 * time.Second

// Daemon is one running hypervisord.
type Daemon struct {
	cfg      Config
	log      *slog.Logger
	engine   *Engine
	tracing  *telemetry.Tracing
	logs     *telemetry.Logs
	admin    *adminDoor // nil: there is none
	listener net.Listener
	server   *http.Server
	stopping context.CancelFunc // tells the doors first
	streams  *stream.Hall
	reload   reload
	firstKey secret.Secret  // that this start made
	sessions *auth.Sessions // nil: everybody is let in

	certificate *certificate       // nil: plain HTTP
	clients     *auth.Certificates // nil: clients show none
}

// New opens the state and the listener. Run must follow, or Close. Kinds:
// Conflict (the state is in use), Invalid, Unavailable.
func New(ctx context.Context, cfg Config, log *slog.Logger) (_ *Daemon, err error) {
	d := &Daemon{cfg: cfg}
	about := telemetry.TracingOptions{Version: version.String(), Log: log}
	if d.logs, err = telemetry.NewLogs(ctx, os.Getenv, about); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.logs.Close(ctx))
		}
	}()
	log = d.logs.Tee(log)
	d.log, about.Log = log, log
	if d.tracing, err = telemetry.NewTracing(ctx, os.Getenv, about); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.tracing.Close(ctx))
		}
	}()
	metrics := telemetry.NewMetrics(telemetry.Sources{
		Jobs: func(ctx context.Context) (map[job.State]int64, error) {
			counts, _, err := d.engine.store.Backlog(ctx)
			return counts, err
		},
		Workers:  func() (int, int) { return d.engine.dispatcher.Workers() },
		Nodes:    func(ctx context.Context) ([]node.Node, error) { return d.engine.store.Nodes(ctx) },
		Pressure: func(ctx context.Context) (dispatch.Pressure, error) { return d.engine.store.Pressure(ctx) },
		Free:     cfg.free,
		Version:  version.String(), Log: log,
	})
	postgres, err := cfg.Postgres()
	if err != nil {
		return nil, err
	}
	bandwidth, err := cfg.bandwidth()
	if err != nil {
		return nil, err
	}
	providers, err := cfg.providers(log, metrics.VSphere())
	if err != nil {
		return nil, err
	}
	objects, err := cfg.S3.open()
	if err != nil {
		return nil, err
	}
	sinks, err := cfg.sinks(ctx)
	if err != nil {
		return nil, err
	}
	d.engine, err = NewEngine(ctx, EngineConfig{
		StateDir: cfg.StateDir, Postgres: postgres, Roots: cfg.Output.Roots, Workers: cfg.Workers, MaxCrashes: cfg.MaxCrashes, Providers: providers, Log: log,
		Profiles: []string{cfg.ProfilesDir}, Bandwidth: bandwidth,
		Service: metrics.Service(), Dispatch: d.tracing.Dispatch(metrics.Dispatch()), Committed: metrics.Committed, Wrap: metrics.Runner,
		Scale: cfg.scale(metrics.Scaled), Retention: cfg.Retention.policy(), Retained: metrics.Retention(),
		HostLimits: cfg.hostLimits(), Sweep: true, AuditSinks: sinks, SinkHooks: auditsink.Hooks{Delivered: metrics.SinkTook, Failed: metrics.SinkFailed},
		Policy: admission.Policy{AgeAfter: cfg.Queue.AgeAfter, Every: cfg.Queue.AgedEvery},
		Webhooks: WebhooksConfig{
			KeyFile: cfg.SecretsKeyFile, Egress: cfg.Webhooks.policy(), Keep: time.Duration(cfg.Webhooks.Keep), Hooks: metrics.Outbox(),
		},
		Steps: StepsConfig{S3: objects, Finished: metrics.Step,
			Hyper2kvm: hyper2kvm.Config{Engine: cfg.Hyper2kvm.Engine, Path: cfg.Hyper2kvm.Path, VirtV2V: cfg.Hyper2kvm.VirtV2VPath}},
	})
	if err != nil {
		return nil, err
	}
	metrics.Bandwidth(d.engine.limits)
	d.reload.count = metrics.Reloaded
	metrics.WatchWebhooks(d.engine.store.Hooks)
	metrics.WatchAudit(d.auditState)
	metrics.WatchLogs(d.logs)
	metrics.AuditSinks(sinkNames(sinks)...)
	d.engine.store.CountLog(metrics.AuditEntries)
	d.checkProfiles(ctx)
	if err := d.open(ctx, metrics); err != nil {
		return nil, errors.Join(err, d.engine.Close(ctx))
	}
	return d, nil
}

// hostLimits are those of the providers that this node has.
func (c *Config) hostLimits() map[string]int {
	if c.VSphere.URL == "" {
		return nil
	}
	return map[string]int{"vsphere": c.VSphere.MaxExportsPerHost}
}

// providers makes those that are configured.
func (c *Config) providers(log *slog.Logger, o vsphere.Observer) (map[string]provider.Provider, error) {
	all := map[string]provider.Provider{}
	if c.VSphere.URL == "" {
		log.Warn("no vCenter is configured", "fix", "set vsphere.url, or GOVC_URL")
		return all, nil
	}
	p, err := vsphere.New(c.VSphere.provider(), log, o)
	if err != nil {
		return nil, err
	}
	all["vsphere"] = p
	return all, nil
}

// open makes the doors.
func (d *Daemon) open(ctx context.Context, metrics *telemetry.Metrics) error {
	authenticator, err := d.authenticator(metrics)
	if err != nil {
		return err
	}
	doors, stopping := context.WithCancel(context.WithoutCancel(ctx))
	d.stopping = stopping
	limits := d.cfg.Security.limits()
	entry := d.cfg.Security.gate(authenticator, limits)
	entry.OnDenied(d.engine.denied)
	d.streams = stream.NewHall(doors, entry)
	tryouts, err := d.pages()
	if err != nil {
		return err
	}
	var api *rest.API
	api, err = rest.New(doors, rest.Deps{
		Service: d.engine.Service, Retention: d.engine.retention, Audit: d.engine.audit, Inventory: d.engine, Gate: entry, Sessions: d.sessions, Hall: d.streams, Health: d.health(), SignIn: d.cfg.signIn(),
		Metrics: metrics.Handler(), Observe: metrics.Request, Tracer: d.tracing.Tracer(), Log: d.log, Version: version.String(),
		Doors: slices.Concat(d.grpc(doors, entry, func(ctx context.Context) bool { return api.Ready(ctx) }), []rest.Door{d.graph(entry)}, tryouts),
	})
	if err != nil {
		return err
	}
	if limits != nil {
		if err := limits.Assign(api.Operations()); err != nil {
			return err
		}
	}
	d.server = rest.NewServer(api, d.log)
	d.server.HTTP2.MaxConcurrentStreams = d.cfg.Security.Connections.MaxStreams
	if err := d.secure(d.server); err != nil {
		return err
	}
	var lc net.ListenConfig
	if err := d.openAdmin(ctx, metrics.Handler()); err != nil {
		return err
	}
	if d.listener, err = lc.Listen(ctx, "tcp", d.cfg.Listen); err == nil {
		connections := d.cfg.Security.connections(ctx, d.log)
		metrics.WatchConnections(connections.Open)
		metrics.WatchLimits(entry.Counts)
		d.listener = connections.Limit(d.listener)
	}
	return fault.Wrap(err, fault.Unavailable, "HX-CONF-010", "the address "+d.cfg.Listen+" cannot be listened on", "stop what uses it, or set listen")
}

func (d *Daemon) authenticator(metrics *telemetry.Metrics) (gate.Authenticator, error) {
	who := func(name string) tenant.Principal {
		return tenant.NewPrincipal(tenant.Default, name, tenant.All()...)
	}
	if d.cfg.Auth.Disabled {
		d.log.Warn("authentication is switched off: whoever reaches the address may do everything")
		return auth.NewLoopback(who("local")), nil
	}
	digest, created, err := auth.LoadKey(d.cfg.Auth.KeyFile)
	if err != nil {
		return nil, err
	}
	if created {
		d.log.Info("an API key was made", "file", d.cfg.Auth.KeyFile)
		text, err := os.ReadFile(d.cfg.Auth.KeyFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "HX-AUTH-021", "the API key file "+d.cfg.Auth.KeyFile+" cannot be read", "check its permissions")
		}
		d.firstKey = secret.New(strings.TrimSpace(string(text)))
	}
	tokens, err := d.cfg.Security.OIDC.tokens(d.engine.store)
	if err != nil {
		return nil, err
	}
	if tokens != nil {
		tokens.OnFetch(func(err error) { d.issuerAsked(metrics, err) })
	}
	if d.clients, err = d.cfg.TLS.certificates(d.engine.store, d.log); err != nil {
		return nil, err
	}
	ring := auth.NewRing(auth.NewKey(digest, who("key:default")), d.engine.store, nil)
	return d.withSessions(ring, auth.NewCredentials(ring, tokens, d.clients)), nil
}

// FirstKey is the API key that this start made; empty if there was one.
func (d *Daemon) FirstKey() secret.Secret { return d.firstKey }

// Addr is the address that the API listens on.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// URL is the base URL of the API.
func (d *Daemon) URL() string {
	if d.certificate != nil {
		return "https://" + d.Addr().String()
	}
	return "http://" + d.Addr().String()
}

func (d *Daemon) serve() error {
	if d.certificate != nil {
		return d.server.ServeTLS(d.listener, "", "")
	}
	return d.server.Serve(d.listener)
}

// Run serves until ctx is done, then stops in order: no new requests, running
// jobs handed back with their checkpoints, the store closed. A failing disk below
// the store ends it at once with an error.
func (d *Daemon) Run(ctx context.Context) error {
	releaseStart()
	d.engine.url = d.URL()
	d.log.Info("ready", "url", d.URL(), "version", version.String(), "state_dir", d.cfg.StateDir, "store", d.cfg.Store, "workers", d.cfg.Workers)
	notify(ctx, d.log, notifyReady) // who is told may connect: the port is open
	g, run := errgroup.WithContext(ctx)
	g.Go(func() error { return d.engine.Run(run) })
	g.Go(func() error {
		select {
		case <-run.Done():
		case <-time.After(settleTime):
			releaseStart() // the loops have had their first turns
		}
		return nil
	})
	g.Go(func() error { return d.reloads(run) })
	g.Go(func() error {
		if err := d.serve(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(d.admin.serve)
	g.Go(func() error {
		<-run.Done()
		d.stopping()
		d.log.Info("stopping")
		notify(context.WithoutCancel(ctx), d.log, notifyStopping)
		return d.shutdown(ctx)
	})
	err := g.Wait()
	return errors.Join(err, d.Close(ctx))
}

func (d *Daemon) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := errors.Join(d.server.Shutdown(ctx), d.admin.close()); err != nil {
		return fmt.Errorf("stop the server: %w", errors.Join(err, d.server.Close()))
	}
	d.streams.Wait(ctx) // Shutdown does not wait for WebSockets
	return nil
}

// Close frees everything. Run calls it.
func (d *Daemon) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	d.stopping()
	err := errors.Join(d.server.Close(), d.admin.close(), d.engine.Close(ctx), d.tracing.Close(ctx))
	return errors.Join(err, d.logs.Close(ctx)) // last: the others may have something to say
}
