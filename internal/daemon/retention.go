package daemon

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

// RetentionConfig says how long what has ended is kept. 0 keeps it.
type RetentionConfig struct {
	Jobs      Age             `yaml:"jobs"` // jobs and their events, since they ended
	Artifacts ArtifactsConfig `yaml:"artifacts"`
}

// ArtifactsConfig says which outputs of completed jobs are removed. An output goes
// if one of the keys wants it.
type ArtifactsConfig struct {
	MaxAge        Age `yaml:"max_age"`          // since the job completed
	MaxCountPerVM int `yaml:"max_count_per_vm"` // newest ones of each vm_path
}

// Age is a duration that also takes days: 90d.
type Age time.Duration

const day = Age(24 * time.Hour)

// leastAge keeps answers to repeated requests (24 hours) from naming jobs that
// are gone, and artifacts from going before anybody has seen them.
const leastAge = 2 * day

// UnmarshalText reads 90d, 12h30m or 0.
func (a *Age) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		*a = Age(n) * day
		return err
	}
	d, err := time.ParseDuration(s)
	*a = Age(d)
	return err
}

// MarshalText writes whole days as such.
func (a Age) MarshalText() ([]byte, error) {
	if a%day == 0 {
		return []byte(strconv.FormatInt(int64(a/day), 10) + "d"), nil
	}
	return []byte(time.Duration(a).String()), nil
}

func (c RetentionConfig) check() (wrong []string) {
	for key, age := range map[string]Age{"jobs": c.Jobs, "artifacts.max_age": c.Artifacts.MaxAge} {
		if age != 0 && age < leastAge {
			wrong = append(wrong, "retention."+key+": at least 2d, or 0")
		}
	}
	if c.Artifacts.MaxCountPerVM < 0 {
		wrong = append(wrong, "retention.artifacts.max_count_per_vm: 1 or more, or 0")
	}
	return wrong
}

func (c RetentionConfig) policy() service.RetentionPolicy {
	return service.RetentionPolicy{
		Jobs: time.Duration(c.Jobs), ArtifactAge: time.Duration(c.Artifacts.MaxAge), ArtifactCount: c.Artifacts.MaxCountPerVM,
	}
}

// remover removes outputs below the roots.
type remover struct {
	outputs outputs
	node    string
}

// Remove implements service.ArtifactRemover.
func (r *remover) Remove(ctx context.Context, j job.Job, dry bool) (int64, error) {
	folder, err := outputFolder(j)
	if err != nil {
		return 0, err
	}
	root, sub, err := r.outputs.split(folder)
	if err != nil {
		return 0, err
	}
	if sub == "." {
		return 0, fault.Newf(fault.Conflict, "HX-RETAIN-003", "remove it by hand", "the output at %s is an output root itself", folder)
	}
	bytes, err := dir.Remove(ctx, root, sub, j.ID, dry)
	if fault.Is(err, fault.NotFound) && j.Node != r.node {
		err = fault.Newf(fault.Unavailable, "HX-RETAIN-004", "", "the output at %s is not on this node, and may be on %s", folder, j.Node)
	}
	return bytes, err
}

// outputFolder returns the one directory that holds all artifacts of a job.
func outputFolder(j job.Job) (string, error) {
	folder := ""
	for _, a := range j.Artifacts {
		d := filepath.Dir(a.Path)
		if !filepath.IsAbs(a.Path) || folder != "" && d != folder {
			return "", fault.Newf(fault.Conflict, "HX-RETAIN-002", "remove them by hand", "the artifacts of job %s are not in one directory", j.ID)
		}
		folder = d
	}
	if folder == "" {
		return "", fault.Newf(fault.Conflict, "HX-RETAIN-002", "", "job %s names no artifact", j.ID)
	}
	return folder, nil
}
