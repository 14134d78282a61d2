package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// export is the export command.
type export struct {
	o    *options
	conn *connection

	vms         []string
	output      string
	compression string
	parallel    int
	stateDir    string
	spec        job.Spec
	profileDir  string
	given       func(flag string) bool // on the command line
}

const watchEvery = 250 * time.Millisecond

func (e *export) run(ctx context.Context) error {
	if err := e.check(); err != nil {
		return err
	}
	// A cancel has to clean up with a live context; the signal only asks for it.
	live := context.WithoutCancel(ctx)
	b, err := e.conn.open(live, engineOptions{output: e.output, stateDir: e.stateDir, workers: e.parallel, log: e.o.err, profiles: e.profileDirs()})
	if err != nil {
		return err
	}
	return closeBoth(live, b, e.with(ctx, live, b))
}

func (e *export) check() error {
	if err := e.leaveOpen(); err != nil {
		return err
	}
	var err error
	if e.output, err = filepath.Abs(e.output); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	if e.stateDir == "" {
		e.stateDir = filepath.Join(e.output, ".hyperexport")
	}
	off := false
	switch e.compression {
	case "none":
		e.spec.Compress = &off
	default:
		e.spec.Compression = e.compression
	}
	e.spec.Provider = "vsphere"
	if e.spec.Format != "qcow2" && e.spec.Format != "" {
		e.spec.Compression, e.spec.Compress = "", nil
	}
	if e.conn.server == "" {
		e.spec.OutputPath = e.output
	} else {
		e.spec.OutputPath = "" // the daemon's own root
	}
	return nil
}

func (e *export) with(ctx, live context.Context, b backend) error {
	ids, err := b.unfinished(live)
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		_, _ = fmt.Fprintf(e.o.err, "Going on with %d interrupted export(s) of %s\n", len(ids), e.output)
	} else {
		specs, err := e.specs(ctx, b)
		if err != nil {
			return err
		}
		if ids, err = b.submit(live, specs); err != nil {
			return err
		}
	}
	jobs, err := e.watch(ctx, live, b, ids)
	if err != nil {
		return err
	}
	for i := range jobs {
		if err := show(e.o, &jobs[i]); err != nil {
			return err
		}
	}
	if code := console.JobsExit(jobs); code != console.ExitOK {
		return exitError(code)
	}
	return nil
}

// specs makes a job for each VM that the patterns name.
func (e *export) specs(ctx context.Context, b backend) ([]job.Spec, error) {
	var specs []job.Spec
	add := func(vm, name string) {
		s := e.spec
		s.VMPath, s.Name = vm, cmp.Or(e.spec.Name, name)
		if !slices.ContainsFunc(specs, func(o job.Spec) bool { return o.VMPath == vm }) {
			specs = append(specs, s)
		}
	}
	for _, pattern := range e.vms {
		if !strings.ContainsAny(pattern, "*?[") {
			add(pattern, "")
			continue
		}
		vms, err := b.vms(ctx, []string{pattern})
		if err != nil {
			return nil, err
		}
		if len(vms) == 0 {
			return nil, fault.Newf(fault.NotFound, "HX-CLI-002", "try `hyperexport vsphere list`", "no VM matches %q", pattern)
		}
		names := map[string]int{}
		for _, vm := range vms {
			names[vm.Name]++
		}
		for _, vm := range vms {
			if names[vm.Name] > 1 {
				// VMs of one name get the folder's name in front.
				add(vm.Path, path.Base(path.Dir(vm.Path))+" - "+vm.Name)
			} else {
				add(vm.Path, "")
			}
		}
	}
	if len(specs) > 1 && e.spec.Name != "" {
		return nil, &usageError{"--name goes with one VM only"}
	}
	return specs, nil
}

// watch shows the jobs until all have ended. The first signal cancels them, the
// second ends the program at once: the next run goes on.
func (e *export) watch(ctx, live context.Context, b backend, ids []string) ([]job.Job, error) {
	display := console.NewProgress(e.o.err, e.o.quiet || e.o.json)
	defer display.Close()
	asked := ctx.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	jobs := make([]job.Job, len(ids))
	for {
		running := 0
		for i, id := range ids {
			if jobs[i].State.Final() {
				continue
			}
			j, err := b.get(live, id)
			if err != nil {
				return nil, err
			}
			jobs[i] = j
			if !j.State.Final() {
				running++
			}
			if !j.State.Final() {
				display.Update(vmName(&j, jobs), phase(&j), console.Bars(j.Progress))
			}
		}
		if running == 0 {
			return jobs, nil
		}
		select {
		case <-asked:
			asked = nil
			display.Line("Cancelling and cleaning up; press Ctrl-C again to stop at once and go on later.")
			again := make(chan os.Signal, 1)
			signal.Notify(again, os.Interrupt, syscall.SIGTERM)
			go func() { <-again; os.Exit(console.ExitCancelled) }()
			if err := e.cancel(live, b, jobs); err != nil {
				return nil, err
			}
		case <-tick.C:
		}
	}
}

func (e *export) cancel(ctx context.Context, b backend, jobs []job.Job) error {
	var errs []error
	for _, j := range jobs {
		if !j.State.Final() {
			errs = append(errs, b.cancel(ctx, j.ID))
		}
	}
	return errors.Join(errs...)
}

func phase(j *job.Job) string {
	if j.Progress != nil && j.State == job.Running {
		return j.Progress.Phase
	}
	return string(j.State)
}

// vmName is the last part of the VM's path, or all of it if two jobs share that.
func vmName(j *job.Job, all []job.Job) string {
	name := path.Base(j.Spec.VMPath)
	for i := range all {
		if all[i].ID != j.ID && path.Base(all[i].Spec.VMPath) == name {
			return j.Spec.VMPath
		}
	}
	return name
}
