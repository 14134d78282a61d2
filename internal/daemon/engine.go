package daemon

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
	"github.com/hypersdk/hypersdk/internal/step"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/version"
)

// cleanupTimeout is longer than an NFC lease of a killed process lives (300 s):
// until then the snapshot below it cannot be removed.
const cleanupTimeout = 6 * time.Minute

// EngineConfig is what an engine needs. All fields but KeyFile, Postgres, Policy and
// the hooks are required.
type EngineConfig struct {
	StateDir   string
	KeyFile    string   // signs the receipts, made if it is missing; empty: signing.key in StateDir
	Roots      []string // directories below which outputs may lie
	Workers    int
	MaxCrashes int                          // 0: the dispatcher's default
	Scale      Scale                        // zero: Workers is all there is
	Postgres   store.PostgresOptions        // zero value: SQLite in StateDir
	Providers  map[string]provider.Provider // the engine closes them
	HostLimits map[string]int               // exports at once from each host of a provider; 0: any number
	Policy     admission.Policy             // who starts next; zero values: its defaults
	Log        *slog.Logger
	Profiles   []string    // directories with profiles; the earlier one counts
	Bandwidth  limit.Plan  // of all jobs of this node together
	Steps      StepsConfig // what the steps of workflows need
	Webhooks   WebhooksConfig
	Sweep      bool               // the outputs are this node's: remove what dead runs staged
	AuditSinks []auditsink.Target // where the audit log is carried to; the engine closes them
	SinkHooks  auditsink.Hooks

	Retention service.RetentionPolicy // zero: everything is kept
	Retained  service.RetentionHooks

	Service  service.Hooks
	Dispatch dispatch.Hooks
	// Committed observes the store; nil: nobody does.
	Committed store.CommitHook
	Wrap      func(dispatch.Runner) dispatch.Runner // decorates the executor; nil: not
}

// Engine is the queue, the workers and the service on one state directory: the
// inside of the daemon, and of hyperexport without one.
type Engine struct {
	Service *service.Service

	store      *store.Store
	dispatcher *dispatch.Dispatcher
	janitor    *dispatch.Janitor
	scheduler  *service.Scheduler
	retention  *service.Retention
	audit      *service.Audit
	witness    *witness
	refusals   *service.Refusals
	autoscaler *dispatch.Autoscaler // nil: the pool is fixed
	outbox     *outbox.Outbox       // nil: webhooks are off
	leftovers  *leftovers           // nil: nothing is swept
	carrier    *auditsink.Carrier
	node       *node.Member
	sharer     *limit.Sharer // nil: no other node can be there
	url        string        // of the API, for the list of nodes; set before Run
	providers  map[string]provider.Provider
	objects    *s3.Store // nil: none
	key        ed25519.PrivateKey
	limits     *limit.Tree
	profiles   *profile.Dirs
	log        *slog.Logger
}

// NewEngine opens the state directory and puts the parts together. Nothing runs
// before Run. Kinds: as store.Open.
func NewEngine(ctx context.Context, c EngineConfig) (*Engine, error) {
	st, err := store.Open(ctx, store.Options{Dir: c.StateDir, Postgres: c.Postgres, Policy: c.Policy, Log: c.Log, Committed: c.Committed})
	if err != nil {
		return nil, err
	}
	e, err := assemble(ctx, st, c)
	for provider, slots := range c.HostLimits {
		if err == nil {
			err = st.LimitHosts(ctx, provider, slots)
		}
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return e, nil
}

// assemble puts the parts together on an open store.
func assemble(ctx context.Context, st *store.Store, c EngineConfig) (*Engine, error) {
	key, err := receipt.LoadKey(cmp.Or(c.KeyFile, filepath.Join(c.StateDir, "signing.key")))
	if err != nil {
		return nil, err
	}
	id, err := node.Identity(c.StateDir)
	if err != nil {
		return nil, err
	}
	sealer, err := c.sealer()
	if err != nil {
		return nil, err
	}
	e := &Engine{store: st, providers: c.Providers, objects: c.Steps.S3, key: key, limits: limit.NewTree(c.Bandwidth), profiles: profile.NewDirs(c.Profiles...), log: c.Log}
	export := &step.Export{
		Providers: c.Providers, Outputs: outputs(c.Roots), Key: key,
		Tool: "hypervisord " + version.String(), Log: c.Log,
		Limits: e.limits, Bandwidth: st,
	}
	runner := c.steps(export, sealer)
	lease, beat := rhythm(!c.Postgres.URL.Empty())
	e.dispatcher = dispatch.New(st, st, runner, dispatch.Options{
		Node: id, Workers: c.Workers, MaxCrashes: c.MaxCrashes, Lease: lease, CleanupTimeout: cleanupTimeout, Hooks: c.Dispatch, Log: c.Log,
	})
	e.autoscaler = c.Scale.autoscaler(e.dispatcher, st)
	e.janitor = dispatch.NewJanitor(st, e.settle, c.Log)
	if c.Sweep {
		e.leftovers = &leftovers{holder: st.Holder, node: id, roots: c.Roots, work: workDir(c.StateDir), log: c.Log}
	}
	e.Service = service.New(telemetry.Store(st), service.Deps{Validator: runner, Feed: st, Pool: e.dispatcher, Nodes: st, Files: e.profiles, Seal: sealer, Hooks: c.Service})
	if err := e.openAudit(ctx, id, c.StateDir); err != nil {
		return nil, err
	}
	e.retention = service.NewRetention(st, &remover{outputs: c.Roots, node: id}, c.Retention, c.Retained, nil, c.Log)
	e.scheduler = service.NewScheduler(e.Service, st, c.Log)
	e.outbox = c.outbox(st, id, sealer)
	e.carrier = auditsink.New(st, c.AuditSinks, auditsink.Options{Node: id, Hooks: c.SinkHooks, Log: c.Log})
	if !c.Postgres.URL.Empty() {
		e.share(id)
	}
	e.node, err = e.member(id, beat, c.Log)
	return e, err
}

// Run works until ctx is done, or until the store's disk fails: then the process
// must end (kind Internal).
func (e *Engine) Run(ctx context.Context) error {
	defer e.node.Leave(ctx)
	g, ctx := errgroup.WithContext(ctx)
	once := func(loop func(ctx context.Context) error) {
		g.Go(func() error { return fault.Protect(func() error { return loop(ctx) }) })
	}
	over := func(name string, loop func(ctx context.Context) error) {
		g.Go(func() error { return again(ctx, e.log, name, loop) })
	}
	once(e.node.Run)
	if e.sharer != nil {
		defer e.sharer.Leave(ctx)
		once(e.sharer.Run)
	}
	once(func(ctx context.Context) error {
		if e.leftovers != nil {
			e.leftovers.begin(ctx)
		}
		return e.dispatcher.Run(ctx)
	})
	if e.leftovers != nil {
		over("leftovers", e.leftovers.run)
	}
	once(func(ctx context.Context) error { return e.store.RunSequencer(ctx, e.log) })
	once(func(ctx context.Context) error { return e.witness.run(ctx, e.log) })
	once(e.refusals.Run)
	over("audit sinks", e.carrier.Run)
	over("janitor", e.janitor.Run)
	over("scheduler", e.scheduler.Run)
	over("retention", e.retention.Run)
	if e.autoscaler != nil {
		over("autoscaler", e.autoscaler.Run)
	}
	if e.outbox != nil {
		over("outbox", e.outbox.Run)
	}
	over("drain", e.Service.Drain)
	g.Go(func() error {
		select {
		case err := <-e.store.Fatal():
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// Close closes the store and logs out. Call it after Run has returned.
func (e *Engine) Close(ctx context.Context) error {
	errs := []error{e.store.Close()}
	for _, p := range e.providers {
		errs = append(errs, p.Close(ctx))
	}
	return errors.Join(errs...)
}

// settle removes a remote object that an ended job left.
func (e *Engine) settle(ctx context.Context, entry provider.LedgerEntry) error {
	if entry.Provider == s3.Provider {
		if e.objects == nil {
			return fault.New(fault.NotFound, "HX-CONF-013", "the object store is not configured any more", "set s3.roots again")
		}
		return e.objects.Settle(ctx, entry)
	}
	p, err := e.provider(entry.Provider)
	if err != nil {
		return err
	}
	return p.Settle(ctx, entry)
}

// provider finds a provider by name; the empty name is vsphere.
func (e *Engine) provider(name string) (provider.Provider, error) {
	if name == "" {
		name = "vsphere"
	}
	if p, ok := e.providers[name]; ok {
		return p, nil
	}
	fix := "configure it"
	if len(e.providers) > 0 {
		fix = "configured here: " + strings.Join(slices.Sorted(maps.Keys(e.providers)), ", ")
	}
	return nil, fault.Newf(fault.NotFound, "HX-PROVIDER-001", fix, "there is no provider %q", name)
}

// VMs lists the VMs of a provider that match any of the patterns; none: all.
func (e *Engine) VMs(ctx context.Context, name string, patterns ...string) ([]provider.VM, error) {
	p, err := e.provider(name)
	if err != nil {
		return nil, err
	}
	vms := []provider.VM{}
	for vm, err := range p.VMs(ctx, patterns...) {
		if err != nil {
			return nil, fmt.Errorf("list VMs: %w", err)
		}
		vms = append(vms, vm)
	}
	return vms, nil
}

// VM returns the one VM that ref names.
func (e *Engine) VM(ctx context.Context, name, ref string) (provider.VM, error) {
	p, err := e.provider(name)
	if err != nil {
		return provider.VM{}, err
	}
	return p.Find(ctx, ref)
}
