// Package demo shows the main job on real bytes: a simulated vCenter, a daemon,
// two exports of a running VM, and the proof by tools that are not ours.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/daemon"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/secret"
)

const vmPath = "/DC/vm/web-01" // runs, and has two disks

// Options of the demo.
type Options struct {
	Out  io.Writer
	Keep bool // go on serving until ctx is done, so that commands can be tried
}

// Run runs the demo in a temporary directory, which it removes.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "hypervisord-demo-")
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-DEMO-001", "no temporary directory can be made", "set TMPDIR")
	}
	d := &demo{Options: o, dir: dir}
	return errors.Join(d.run(ctx), os.RemoveAll(dir))
}

type demo struct {
	Options
	dir    string
	sim    *vcsim.Server
	daemon *daemon.Daemon
	client *client.Client
}

func (d *demo) sayf(format string, args ...any) { _, _ = fmt.Fprintf(d.Out, format+"\n", args...) }

func (d *demo) run(ctx context.Context) error {
	started := time.Now()
	if err := d.start(ctx); err != nil {
		return err
	}
	served, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.daemon.Run(served) }()
	err := d.show(ctx)
	if err == nil {
		d.sayf("\nEverything above took %s.", time.Since(started).Round(100*time.Millisecond))
		d.next()
		if d.Keep {
			<-ctx.Done()
		}
	}
	stop()
	return errors.Join(err, <-done, d.sim.Close())
}

// start brings up vCenter and daemon.
func (d *demo) start(ctx context.Context) error {
	var err error
	if d.sim, err = vcsim.Start(ctx, vcsim.Options{}); err != nil {
		return err
	}
	d.sayf("A simulated vCenter serves %s", d.sim.URL())
	cfg := daemon.DefaultConfig()
	cfg.Listen, cfg.StateDir = "127.0.0.1:0", filepath.Join(d.dir, "state")
	cfg.Output.Roots = []string{filepath.Join(d.dir, "exports")}
	cfg.Auth.KeyFile = filepath.Join(d.dir, "api.key")
	cfg.VSphere = daemon.VSphereConfig{URL: d.sim.URL().String(), Username: d.sim.Username(), Password: secret.New(d.sim.Password()), Thumbprint: d.sim.Thumbprint()}
	log := slog.New(slog.NewTextHandler(d.Out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if d.daemon, err = daemon.New(ctx, cfg, log); err != nil {
		return errors.Join(err, d.sim.Close())
	}
	d.sayf("hypervisord serves %s\n", d.daemon.URL())
	if d.client, err = console.Connect(d.daemon.URL(), cfg.Auth.KeyFile, ""); err != nil {
		return errors.Join(err, d.daemon.Close(ctx), d.sim.Close())
	}
	return nil
}

// show exports the VM twice and proves both.
func (d *demo) show(ctx context.Context) error {
	roots := map[string][]string{}
	for _, format := range []string{"qcow2", "ova"} {
		if err := d.export(ctx, format); err != nil {
			return err
		}
		folder := filepath.Join(d.dir, "exports", format, "web-01")
		rep, err := artifact.Verify(ctx, folder, nil, nil)
		if err != nil {
			return err
		}
		if !rep.OK() {
			return fault.New(fault.Corrupt, "HX-DEMO-002", "the export differs from its receipt", "please report this")
		}
		d.sayf("  verified again   every file and every disk agrees with the receipt")
		if err := d.compare(ctx, folder, rep.Receipt); err != nil {
			return err
		}
		for _, disk := range rep.Receipt.Disks {
			roots[format] = append(roots[format], disk.Root.String())
		}
		if format == "qcow2" {
			if err := d.boot(ctx, filepath.Join(folder, rep.Receipt.Disks[0].File)); err != nil {
				return err
			}
		}
		d.sayf("")
	}
	if fmt.Sprint(roots["qcow2"]) != fmt.Sprint(roots["ova"]) {
		return fault.New(fault.Corrupt, "HX-DEMO-003", "the two formats have different roots", "please report this")
	}
	d.sayf("The qcow2 and the OVA have the same Merkle roots: the same disks, whatever the format.")
	if left := d.sim.Leftovers(); len(left) > 0 {
		return fault.Newf(fault.Internal, "HX-DEMO-004", "please report this", "left on vCenter: %v", left)
	}
	d.sayf("Nothing is left on vCenter: no snapshot, no lease.")
	return nil
}

// export submits a job through the REST API and follows it.
func (d *demo) export(ctx context.Context, format string) error {
	s, err := d.client.Submit(ctx, client.Spec{VMPath: vmPath, Format: format, OutputPath: format})
	if err != nil {
		return console.ServerError(err)
	}
	d.sayf("$ hyperctl jobs submit --vm %s --format %s --watch", vmPath, format)
	for _, err := range d.client.Events(ctx, s.JobIDs[0], 0) {
		if err != nil {
			return console.ServerError(err)
		}
	}
	j, err := console.RemoteJob(ctx, d.client, s.JobIDs[0])
	if err != nil {
		return err
	}
	if j.State != job.Completed {
		console.Failure(d.Out, vmPath, string(j.State), j.Error)
		return fault.New(fault.Internal, "HX-DEMO-005", "the export did not complete", "please report this")
	}
	return console.Completed(d.Out, &j)
}

// next says what to try.
func (d *demo) next() {
	if !d.Keep {
		d.sayf("\nTo try it yourself: `hypervisord demo --keep` goes on serving.")
		return
	}
	d.sayf(`
Both go on serving until Ctrl-C. In another terminal:

  export HYPERVISORD_SERVER=%s HYPERVISORD_API_KEY_FILE=%s
  hyperctl vms
  hyperctl jobs submit --vm /DC/vm/production-db --format qcow2 --watch
  hyperctl jobs list
  hyperctl status
  curl -s $HYPERVISORD_SERVER/metrics | grep ^hypervisord_jobs

  export GOVC_URL='%s' GOVC_USERNAME='%s' GOVC_PASSWORD='%s' GOVC_INSECURE=true
  hyperexport vsphere list
  hyperexport vsphere export --vm /DC/vm/web-01 --format qcow2 --output ./backups
  hyperexport verify ./backups/web-01`,
		d.daemon.URL(), filepath.Join(d.dir, "api.key"), d.sim.URL(), d.sim.Username(), d.sim.Password())
}

// copySource writes what the simulator holds of a disk to a raw file.
func (d *demo) copySource(r *receipt.Disk) (string, error) {
	var key int32
	if _, err := fmt.Sscan(r.Key, &key); err != nil {
		return "", fmt.Errorf("disk key %q: %w", r.Key, err)
	}
	content, err := d.sim.Disk(vmPath, key)
	if err != nil {
		return "", err
	}
	path := filepath.Join(d.dir, "source-"+r.Key+".raw")
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	return path, content.WriteFile(path)
}
