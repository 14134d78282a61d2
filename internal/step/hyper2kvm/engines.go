package hyper2kvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/child"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/step"
	"github.com/hypersdk/hypersdk/internal/tracing"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// task is one run of a program. Nothing in its arguments and files comes from a
// user but the content of the disks.
type task struct {
	program, work, out string
	copies             []copyOf
	line               func(string)
}

func diskID(i int) string { return fmt.Sprintf("disk%d", i) }

// result is what the engines leave for disk i.
func result(out string, i int) string { return filepath.Join(out, diskID(i)+".qcow2") }

func (j *task) run(ctx context.Context, args ...string) error {
	env := guestfsEnv(os.Environ())
	if parent := tracing.Parent(ctx); parent != "" {
		env = append(env, "TRACEPARENT="+parent)
	}
	return child.Run(ctx, child.Command{Path: j.program, Args: args, Dir: j.work, Env: env, Line: j.line})
}

// guestfsEnv is what libguestfs is told: that it starts QEMU by itself, and what the
// daemon's own environment says to it.
func guestfsEnv(environ []string) []string {
	env := []string{"LIBGUESTFS_BACKEND=direct"}
	for _, v := range environ {
		if strings.HasPrefix(v, "LIBGUESTFS_") || strings.HasPrefix(v, "SUPERMIN_") {
			env = append(env, v) // the last one of a name counts
		}
	}
	return env
}

// manifest is the input of hyper2kvm 0.2 and later (version 1.0).
type manifest struct {
	Version  string         `json:"manifest_version"`
	Pipeline map[string]any `json:"pipeline"`
	Output   manifestOutput `json:"output"`
	Disks    []manifestDisk `json:"disks"`
}

type manifestOutput struct {
	Directory string `json:"directory"`
	Format    string `json:"format"`
}

type manifestDisk struct {
	ID       string `json:"id"`
	Format   string `json:"source_format"`
	Bytes    int64  `json:"bytes"`
	Path     string `json:"local_path"`
	Checksum string `json:"checksum"`
	Boot     int    `json:"boot_order_hint"`
}

// runHyper2kvm asks the program once what it can and gives it what it takes.
func runHyper2kvm(ctx context.Context, j task) error {
	var help strings.Builder
	probe := j
	probe.line = func(l string) { help.WriteString(l + "\n") }
	if err := probe.run(ctx, "--help"); err != nil {
		return err
	}
	switch text := help.String(); {
	case strings.Contains(text, "--manifest"):
		return j.byManifest(ctx)
	case strings.Contains(text, "--config"):
		return j.byConfig(ctx)
	}
	return fault.New(fault.Unprocessable, "HX-H2K-005", "this hyper2kvm takes neither --manifest nor --config", "install version 0.0.3 or later")
}

func (j *task) byManifest(ctx context.Context) error {
	stage := map[string]any{"enabled": true}
	m := manifest{
		Version:  "1.0",
		Pipeline: map[string]any{"inspect": stage, "fix": stage, "convert": stage, "validate": stage},
		Output:   manifestOutput{Directory: j.out, Format: "qcow2"},
	}
	for i, c := range j.copies {
		m.Disks = append(m.Disks, manifestDisk{ID: diskID(i), Format: "qcow2", Bytes: c.size, Path: c.path, Checksum: "sha256:" + c.sum})
	}
	path := filepath.Join(j.work, "artifact-manifest.json")
	if err := writeJSON(path, m); err != nil {
		return err
	}
	if err := j.run(ctx, "--manifest", path); err != nil {
		return err
	}
	return j.fromReport(filepath.Join(j.out, "report.json"))
}

// byConfig is the way of version 0.0.3, a disk at a time. The configuration is
// JSON, which is YAML.
func (j *task) byConfig(ctx context.Context) error {
	for i, c := range j.copies {
		path := filepath.Join(j.work, diskID(i)+".yaml")
		err := writeJSON(path, map[string]any{
			"cmd": "local", "vmdk": c.path, "output_dir": j.out, "flatten": true, "to_output": diskID(i) + ".qcow2", "out_format": "qcow2",
			"report": filepath.Join(j.out, diskID(i)+"-report.json"),
		})
		if err == nil {
			err = j.run(ctx, "--config", path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxReport bounds the program's report.
const maxReport = 16 << 20

// fromReport compares the report with what was asked for. A path that
// leads out of the output directory is refused.
func (j *task) fromReport(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fault.Wrap(err, fault.Unprocessable, "HX-H2K-006", "hyper2kvm left no report.json", "see what it says in its own log")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxReport))
	if err := errors.Join(err, f.Close()); err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-H2K-006", "hyper2kvm's report.json cannot be read", "check the storage below state_dir")
	}
	var report struct {
		Artifacts []struct {
			Path string `json:"path"`
		} `json:"artifacts"`
	}
	if err := json.Unmarshal(text, &report); err != nil || len(report.Artifacts) != len(j.copies) {
		return fault.Newf(fault.Unprocessable, "HX-H2K-007", "see what hyper2kvm says", "hyper2kvm's report names %d disks of %d", len(report.Artifacts), len(j.copies))
	}
	for _, a := range report.Artifacts {
		rel, err := filepath.Rel(j.out, a.Path)
		if err != nil || !filepath.IsLocal(rel) {
			return fault.New(fault.Unprocessable, "HX-H2K-008", "hyper2kvm's report names a file outside of its directory", "see what hyper2kvm says")
		}
	}
	return nil
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	return fault.Wrap(err, fault.Unavailable, "HX-H2K-003", "the working directory cannot be written", "check the storage below state_dir")
}

// made is what the program left, as an export. What it holds differs from what
// was exported; only the machine and the keys of its disks are the same.
func (s *Step) made(t *workflow.Task) (*step.Stored, error) {
	in, err := step.OpenStored(t.Input)
	if err != nil {
		return nil, err
	}
	folder, err := artifact.OpenFolder(s.out(t))
	if err != nil {
		return nil, err
	}
	r := &receipt.Receipt{Version: receipt.Version, VM: in.Receipt.VM, Format: "qcow2"}
	for i, d := range in.Receipt.Disks {
		name := filepath.Base(result("", i))
		var size int64
		if img, oerr := artifact.OpenImage(folder, "qcow2", name); oerr == nil {
			size = img.Info().Size
			err = img.Close()
		} else {
			err = oerr
		}
		if err != nil {
			return nil, errors.Join(err, folder.Close())
		}
		r.Disks = append(r.Disks, receipt.Disk{Key: d.Key, Name: d.Name, File: name, Size: size})
	}
	return &step.Stored{Dir: s.out(t), Receipt: r}, folder.Close()
}
