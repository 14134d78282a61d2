// Package step holds the executors of jobs. Export is the first: it freezes a
// VM, copies its disks in one pass, verifies what was stored, and publishes it
// with a receipt.
package step

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// Outputs finds the sink of an output path. Kinds Denied, Unprocessable: the
// path is outside of what is allowed.
type Outputs interface {
	// Check tells whether Sink would allow the path, without touching it.
	Check(path string) error
	// Sink opens the place, and makes its directory if needed.
	Sink(path string) (sink.Sink, error)
}

// Export runs the jobs that export a VM. It implements dispatch.Runner and
// service.Validator; all fields but Log are required.
type Export struct {
	Providers map[string]provider.Provider
	Outputs   Outputs
	Key       ed25519.PrivateKey // signs the receipts
	Tool      string             // name and version, for the receipt
	Log       *slog.Logger
	Limits    *limit.Tree // of this node; nil: jobs are not limited
	Bandwidth Bandwidth   // goes with Limits

	expect *receipt.Receipt // whose disks the content must be; nil: not known
}

var formats = map[string]bool{"ova": true, "ovf": true, "vmdk": true, "qcow2": true, "raw": true}

// Validate checks a spec against what this executor can do. It does not touch
// the network. Kinds Invalid, Denied, Unprocessable.
func (x *Export) Validate(_ context.Context, s job.Spec) error {
	if s.VMPath == "" {
		return fault.New(fault.Invalid, "HX-EXPORT-001", "vm_path is missing", "name the VM by its inventory path, name, UUID or MoRef")
	}
	if _, ok := x.Providers[s.Provider]; !ok {
		fix := "none is configured here: set vsphere.url, or GOVC_URL"
		if len(x.Providers) > 0 {
			fix = "configured here: " + strings.Join(slices.Sorted(maps.Keys(x.Providers)), ", ")
		}
		return fault.Newf(fault.Unprocessable, "HX-EXPORT-002", fix, "there is no provider %q", s.Provider)
	}
	if !formats[s.Format] {
		return fault.Newf(fault.Unprocessable, "HX-EXPORT-003", "use one of: "+strings.Join(slices.Sorted(maps.Keys(formats)), ", "), "the format %q is not known", s.Format)
	}
	return x.Outputs.Check(s.OutputPath)
}

// Run carries out the job, from the start or from where an earlier run stopped.
func (x *Export) Run(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
	r, err := x.begin(t)
	if err != nil {
		return job.Outcome{}, err
	}
	stop := r.meter.start(ctx)
	defer stop()
	if err := r.adopt(ctx); err != nil {
		return job.Outcome{}, errors.Join(cause(ctx, err), r.close())
	}
	for {
		phase := r.st.Phase
		inner, span := tracing.Start(ctx, phase)
		switch phase {
		case phaseCopy:
			err = r.copy(inner)
		case phaseVerify:
			err = r.verify(inner)
		case phasePublish:
			out, err := r.publish(inner)
			span.End(err)
			return out, err
		}
		span.End(err)
		if err != nil {
			return job.Outcome{}, errors.Join(cause(ctx, err), r.close())
		}
	}
}

// Cleanup removes what the runs of a job left: remote objects and the staging
// area. What is published stays.
func (x *Export) Cleanup(ctx context.Context, t dispatch.Task) error {
	r, err := x.begin(t)
	if err != nil {
		return err
	}
	r.meter.phase("cleaning")
	err = r.settle(ctx)
	if r.st.Name == "" {
		return err
	}
	r.st.Stage = "" // whichever is here, it goes
	stage, serr := r.openStage(ctx)
	if serr != nil {
		// A published output with this name is not ours to remove.
		if fault.Is(serr, fault.Conflict) {
			serr = nil
		}
		return errors.Join(err, serr)
	}
	return errors.Join(err, stage.Discard(ctx))
}

// cause prefers the reason why the context ended over what fell out of it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// run is one run of one job.
type run struct {
	x     *Export
	t     dispatch.Task
	prov  provider.Provider
	st    state
	stage sink.Stage
	meter *meter
	log   *slog.Logger
}

func (x *Export) begin(t dispatch.Task) (*run, error) {
	p, ok := x.Providers[t.Job.Spec.Provider]
	if !ok {
		return nil, fault.Newf(fault.Unprocessable, "HX-EXPORT-002", "configure it, or submit the job again with another provider",
			"there is no provider %q any more", t.Job.Spec.Provider)
	}
	log := x.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &run{x: x, t: t, prov: p, log: log.With("job", t.Job.ID, "attempt", t.Job.Attempt), meter: newMeter(t.Progress)}
	if p := t.Job.Progress; p != nil {
		r.meter.moved = p.BytesTransfer
	}
	if t.Token == nil {
		r.st = state{Phase: phaseCopy, Started: time.Now().UTC()}
		return r, nil
	}
	return r, r.st.load(t.Token)
}

// close frees local handles and leaves the stage for a later run.
func (r *run) close() error {
	if r.stage == nil {
		return nil
	}
	err := r.stage.Close()
	r.stage = nil
	return err
}

// openStage opens the staging area, once.
func (r *run) openStage(ctx context.Context) (sink.Stage, error) {
	if r.stage != nil {
		return r.stage, nil
	}
	s, err := r.x.Outputs.Sink(r.t.Job.Spec.OutputPath)
	if err != nil {
		return nil, err
	}
	if r.stage, err = s.Stage(ctx, r.st.Name, r.t.Job.ID); err != nil {
		r.stage = nil
		return nil, err
	}
	m, marked := r.stage.(sink.Marked)
	switch {
	case !marked || m.Mark() == "":
	case r.st.Stage == "":
		r.st.Stage = m.Mark()
	case r.st.Stage != m.Mark():
		return r.stage, errOtherStage
	}
	return r.stage, nil
}

// errOtherStage: what the state and the checkpoints tell of is not here.
var errOtherStage = fault.New(fault.Conflict, "HX-EXPORT-007", "the staging area of the interrupted run is not on this machine",
	"let the nodes share output.roots, then jobs go on elsewhere from their checkpoints")

// adopt makes sure that the staging area is the one that earlier runs wrote to. On
// another machine it may be missing, or be one from before the job went away:
// then everything is read again.
func (r *run) adopt(ctx context.Context) error {
	if r.st.Name == "" {
		return nil // nothing is written yet
	}
	_, err := r.openStage(ctx)
	if !errors.Is(err, errOtherStage) {
		return err
	}
	r.log.WarnContext(ctx, "starting over", "reason", fault.Detail(err))
	r.st.Stage = ""
	return r.restart(ctx)
}

// settle removes every remote object that is still in the ledger.
func (r *run) settle(ctx context.Context) error {
	entries, err := r.t.Ledger.Open(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := r.prov.Settle(ctx, e); err != nil {
			return err
		}
		if err := r.t.Ledger.Settle(ctx, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// restart forgets everything that earlier runs read, because the frozen VM that
// they read is gone.
func (r *run) restart(ctx context.Context) error {
	for _, d := range r.st.VM.Disks {
		if err := r.t.Checkpoints.Reset(ctx, d.Key); err != nil {
			return err
		}
	}
	if r.st.Name != "" {
		stage, err := r.openStage(ctx)
		if err != nil {
			return err
		}
		if err := stage.Discard(ctx); err != nil {
			return err
		}
		r.stage = nil
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	r.st = state{Phase: phaseCopy, Started: r.st.Started}
	return r.save(ctx)
}
