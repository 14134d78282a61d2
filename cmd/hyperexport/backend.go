package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/daemon"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// backend is where jobs run: an engine in this process, or a daemon.
type backend interface {
	vms(ctx context.Context, patterns []string) ([]provider.VM, error)
	submit(ctx context.Context, specs []job.Spec) ([]string, error)
	// unfinished lists the jobs that an interrupted run left.
	unfinished(ctx context.Context) ([]string, error)
	get(ctx context.Context, id string) (job.Job, error)
	cancel(ctx context.Context, id string) error
	close(ctx context.Context) error
}

const closeTime = time.Minute

// closeBoth closes the backend after the work ended with err.
func closeBoth(ctx context.Context, b backend, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	cerr := b.close(ctx)
	if err != nil {
		return err
	}
	return cerr
}

// connection are the flags that say where vCenter, or the daemon, is.
type connection struct {
	url, username, passwordFile string
	thumbprint, caFile          string
	insecure                    bool
	server, keyFile             string
}

// engineOptions set up an engine in this process.
type engineOptions struct {
	output   string // the only root of outputs; empty: nothing is written
	stateDir string // empty: a temporary one
	workers  int
	log      io.Writer
	profiles []string // directories
}

func (c *connection) open(ctx context.Context, o engineOptions) (backend, error) {
	if c.server != "" {
		return newRemote(c.server, c.keyFile)
	}
	cfg, err := daemon.VSphereConfig{
		URL: c.url, Username: c.username, PasswordFile: c.passwordFile,
		Thumbprint: c.thumbprint, CAFile: c.caFile, Insecure: c.insecure,
	}.Complete(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	level := slog.LevelWarn
	if os.Getenv("HYPEREXPORT_DEBUG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: level}))
	p, err := vsphere.New(cfg, log, vsphere.Observer{})
	if err != nil {
		return nil, err
	}
	return newLocal(ctx, p, o, log)
}

// local is an engine in this process.
type local struct {
	*daemon.Engine
	user  tenant.Principal
	stop  context.CancelFunc
	done  chan error
	state string // directory of the queue, removed when no job is left
}

func newLocal(ctx context.Context, p provider.Provider, o engineOptions, log *slog.Logger) (*local, error) {
	l := &local{user: tenant.NewPrincipal(tenant.Default, "local", tenant.All()...), done: make(chan error, 1), state: o.stateDir}
	roots := []string{o.output}
	if o.output == "" {
		roots = nil
	} else if err := os.MkdirAll(o.output, 0o750); err != nil {
		return nil, fault.Wrap(err, fault.Denied, "HX-DST-003", "the output directory "+o.output+" cannot be made", "choose another with --output, or correct its permissions")
	}
	if l.state == "" {
		var err error
		if l.state, err = os.MkdirTemp("", "hyperexport-"); err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "HX-CLI-003", "no temporary directory can be made", "set TMPDIR")
		}
	}
	var err error
	l.Engine, err = daemon.NewEngine(ctx, daemon.EngineConfig{
		StateDir: l.state, KeyFile: keyFile(), Roots: roots, Workers: max(1, o.workers), Log: log,
		Providers: map[string]provider.Provider{"vsphere": p}, Profiles: o.profiles, Webhooks: daemon.WebhooksConfig{Off: true},
	})
	if err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	ctx, l.stop = context.WithCancel(ctx)
	go func() { l.done <- l.Run(ctx) }()
	return l, nil
}

func (l *local) vms(ctx context.Context, patterns []string) ([]provider.VM, error) {
	return l.VMs(ctx, "vsphere", patterns...)
}

func (l *local) submit(ctx context.Context, specs []job.Spec) ([]string, error) {
	r, err := l.Service.Submit(ctx, l.user, specs, service.SubmitOptions{})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, j := range r.Jobs {
		ids = append(ids, j.ID)
	}
	for _, refused := range r.Refused {
		return ids, &fault.Error{Kind: fault.Unprocessable, Code: refused.Error.Code, Msg: refused.Error.Message, Fix: refused.Error.Fix}
	}
	return ids, nil
}

func (l *local) unfinished(ctx context.Context) ([]string, error) {
	page, err := l.Service.Query(ctx, l.user, service.Query{States: []job.State{job.Pending, job.Running, job.Cancelling}, Limit: service.MaxLimit})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, j := range page.Jobs {
		ids = append(ids, j.ID)
	}
	return ids, nil
}

func (l *local) get(ctx context.Context, id string) (job.Job, error) {
	select {
	case err := <-l.done: // the store's disk failed
		l.done <- err
		if err != nil {
			return job.Job{}, err
		}
	default:
	}
	return l.Service.Get(ctx, l.user, id)
}

func (l *local) cancel(ctx context.Context, id string) error {
	_, err := l.Service.Cancel(ctx, l.user, id, "interrupted at the terminal")
	return err
}

func (l *local) close(ctx context.Context) error {
	left, err := l.unfinished(ctx)
	l.stop()
	err = errors.Join(err, <-l.done, l.Close(ctx))
	if err != nil || len(left) > 0 {
		return err // the next run goes on
	}
	return l.clear()
}

// clear removes the queue's own files, and the directory if nothing else is in
// it: the user may have named one that holds other things.
func (l *local) clear() error {
	for _, name := range []string{"hypersdk.db", "hypersdk.db-wal", "hypersdk.db-shm", "lock", "node.id", "secrets.key", "audit.checkpoint"} {
		if err := os.Remove(filepath.Join(l.state, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the queue: %w", err)
		}
	}
	if err := os.Remove(l.state); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("remove the queue: %w", err)
	}
	return nil
}

// keyFile is the user's own key, so that receipts of several exports can be
// checked with one; empty if there is no home directory to keep it.
func keyFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	dir = filepath.Join(dir, "hypersdk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return filepath.Join(dir, "signing.key")
}
