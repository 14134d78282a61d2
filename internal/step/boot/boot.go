// Package boot is the step that starts an export in QEMU and waits for the line
// that says that the guest is up. The export is only read: what the guest writes
// goes to an overlay that is gone with the process. What the guest said and showed
// is published beside the export.
package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/child"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/step"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

const (
	program  = "qemu-system-x86_64"
	bootTime = 10 * time.Minute // unless the step has a timeout
	reserve  = 10 * time.Second // of that timeout, to say that it did not boot
	maxDisks = 4                // of an IDE controller
	maxLog   = 1 << 20          // bytes of the console that are kept
)

// errBooted ends the guest.
var errBooted = errors.New("it has booted")

// Boot implements workflow.Executor.
type Boot struct {
	Outputs step.Outputs
	WorkDir string // where overlays go
	EFI     []efi  // where OVMF may be; nil: where distributions have it
}

// Validate implements workflow.Executor.
func (b *Boot) Validate(_ context.Context, s job.Step) error {
	if _, err := qemu(); err != nil {
		return err
	}
	return b.Outputs.Check(s.OutputPath)
}

func qemu() (string, error) {
	path, err := child.Find(program)
	return path, fault.Wrap(err, fault.Unprocessable, "HX-BOOT-001", program+" is not installed here", "install it (apt-get install qemu-system-x86)")
}

func (b *Boot) work(t *workflow.Task) string { return filepath.Join(b.WorkDir, t.Job.ID) }

// Execute implements workflow.Executor. Kind Corrupt: it did not boot.
func (b *Boot) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	in, err := step.OpenStored(t.Input)
	if err != nil {
		return job.Outcome{}, err
	}
	work := b.work(&t)
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o700)); err != nil {
		return job.Outcome{}, fault.Wrap(err, fault.Unavailable, "HX-BOOT-002", "the working directory cannot be made", "check the storage below state_dir")
	}
	drives, err := inspect(in)
	if err != nil {
		return job.Outcome{}, err
	}
	firmware, err := b.firmware(in.Receipt.VM.Firmware, work)
	if err != nil {
		return job.Outcome{}, err
	}
	t.Progress(job.Progress{Phase: "booting", ETA: -1})
	g := &guest{work: work, marker: t.Step.Marker}
	if err := g.run(ctx, append(firmware, drives...), limit(t.Step.Timeout)); err != nil {
		return job.Outcome{}, err
	}
	out, err := b.publish(ctx, &t, in, g)
	return out, errors.Join(err, os.RemoveAll(work))
}

// Cleanup implements workflow.Executor.
func (b *Boot) Cleanup(ctx context.Context, t workflow.Task) error {
	err := os.RemoveAll(b.work(&t))
	in, ierr := step.OpenStored(t.Input)
	if ierr != nil {
		return errors.Join(err, ierr)
	}
	stage, serr := b.stage(ctx, &t, in)
	if fault.Is(serr, fault.Conflict) {
		return err // published, or not ours
	}
	if serr != nil {
		return errors.Join(err, serr)
	}
	return errors.Join(err, stage.Discard(ctx))
}

// inspect reads the header of every disk by this program's own codec, which
// refuses images that refer to other files, before QEMU sees it.
func inspect(in *step.Stored) ([]string, error) {
	r := in.Receipt
	if r.Format != "qcow2" && r.Format != "raw" {
		return nil, fault.Newf(fault.Unprocessable, "HX-BOOT-003", "convert it to qcow2 or raw first", "an export in the format %s cannot be booted", r.Format)
	}
	folder, err := artifact.OpenFolder(in.Dir)
	if err != nil {
		return nil, err
	}
	var drives []string
	for i := range r.Disks[:min(len(r.Disks), maxDisks)] {
		img, err := artifact.OpenDisk(folder, r.Format, &r.Disks[i])
		if err == nil {
			err = img.Close()
		}
		if err != nil {
			return nil, errors.Join(err, folder.Close())
		}
		path := strings.ReplaceAll(filepath.Join(in.Dir, r.Disks[i].File), ",", ",,")
		drives = append(drives, "-drive", "file="+path+",format="+r.Format+",if=ide,snapshot=on")
	}
	return drives, folder.Close()
}

// limit is how long the guest may take.
func limit(timeout string) time.Duration {
	d, err := time.ParseDuration(timeout)
	if err != nil {
		return bootTime
	}
	return max(d-reserve, d/2)
}

// guest is one run of QEMU.
type guest struct {
	work, marker string
	mu           sync.Mutex
	log          strings.Builder
	screen       []byte // PNG
}

// run starts the guest by KVM where there is one, and emulated where there is none,
// or where it gives up on what the guest does.
func (g *guest) run(ctx context.Context, drives []string, most time.Duration) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := time.AfterFunc(most, func() { stop(errNotBooted) })
	defer timer.Stop()
	err := g.start(inner, "kvm:tcg", drives)
	if errors.Is(err, errKVM) {
		g.say("KVM cannot run this guest here: it is emulated")
		err = g.start(inner, "tcg", drives)
	}
	switch {
	case errors.Is(err, errBooted):
		return nil
	case errors.Is(err, errNotBooted), err == nil:
		return fault.Newf(fault.Corrupt, "HX-BOOT-004", "look at the guest; is the marker what it prints on its first serial port?",
			"the guest did not print %q within %s; last: %s", g.marker, most, g.last())
	}
	return err
}

// start runs the guest until it has booted, or ctx is done.
func (g *guest) start(ctx context.Context, accel string, drives []string) error {
	path, err := qemu()
	if err != nil {
		return err
	}
	socket := filepath.Join(g.work, "qmp")
	args := append([]string{
		"-machine", "pc,accel=" + accel, "-m", "512", "-display", "none", "-serial", "stdio", "-nic", "none", "-no-reboot", "-no-shutdown",
		"-qmp", "unix:" + strings.ReplaceAll(socket, ",", ",,") + ",server=on,wait=off",
	}, drives...)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var once sync.Once
	return child.Run(ctx, child.Command{Path: path, Args: args, Dir: g.work, Line: func(line string) {
		g.say(line)
		if strings.HasPrefix(line, "KVM internal error") { // QEMU's own words; the guest stands still
			stop(errKVM)
		}
		if strings.Contains(line, g.marker) {
			once.Do(func() {
				shot, serr := screenshot(ctx, socket, filepath.Join(g.work, "screen.png"))
				if serr != nil {
					g.say("no screenshot: " + serr.Error())
				}
				g.mu.Lock()
				g.screen = shot
				g.mu.Unlock()
				stop(errBooted)
			})
		}
	}})
}

var (
	errNotBooted = errors.New("it has not booted in time")
	errKVM       = errors.New("KVM cannot run the guest")
)

func (g *guest) say(line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.log.Len() < maxLog {
		g.log.WriteString(line + "\n")
	}
}

func (g *guest) last() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(g.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}

func (b *Boot) stage(ctx context.Context, t *workflow.Task, in *step.Stored) (sink.Stage, error) {
	name, dir := in.Output(&t.Step)
	s, err := b.Outputs.Sink(dir)
	if err != nil {
		return nil, err
	}
	return s.Stage(ctx, sink.CleanName(name), t.Job.ID)
}

// publish stores the console and the screen beside the export. A set that is
// there because a crash came right after it was published is told by the token.
func (b *Boot) publish(ctx context.Context, t *workflow.Task, in *step.Stored, g *guest) (job.Outcome, error) {
	var o job.Outcome
	files := map[string][]byte{"serial.log": []byte(g.log.String())}
	if g.screen != nil {
		files["screen.png"] = g.screen
	}
	stage, err := b.stage(ctx, t, in)
	if fault.Is(err, fault.Conflict) && string(t.Token) == "publishing" {
		return o, nil // an earlier run said so already
	}
	if err != nil {
		return o, err
	}
	for _, name := range []string{"serial.log", "screen.png"} {
		if data, ok := files[name]; ok && err == nil {
			err = put(stage, name, data)
			o.Artifacts = append(o.Artifacts, job.Artifact{Name: name, Format: strings.TrimPrefix(filepath.Ext(name), "."), Bytes: int64(len(data))})
		}
	}
	if err == nil {
		err = t.SaveToken(ctx, []byte("publishing"))
	}
	if err != nil {
		return job.Outcome{}, errors.Join(err, stage.Close())
	}
	stored, err := stage.Publish(ctx)
	for i := range o.Artifacts {
		a := &o.Artifacts[i]
		a.Path, a.URL = filepath.Join(stored.Path, a.Name), stored.URL+"/"+a.Name
	}
	return o, errors.Join(err, stage.Close())
}

func put(stage sink.Stage, name string, data []byte) error {
	obj, err := stage.Create(name, false)
	if err != nil {
		return err
	}
	_, err = obj.WriteAt(data, 0)
	if err := errors.Join(err, obj.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
