package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/service"
)

func TestAge(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "0": 0, "0d": 0, "36h": 36 * time.Hour, "1h30m": 90 * time.Minute} {
		var a Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s is %v: %v", text, time.Duration(a), err)
		}
		again, err := a.MarshalText()
		var b Age
		if err != nil || b.UnmarshalText(again) != nil || b != a {
			t.Errorf("%s is written as %s", text, again)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "99999999d", "soon", "90 d", "1y"} {
		var a Age
		if err := a.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, time.Duration(a))
		}
	}
}

// A real export goes whole when its time is over, and stays when somebody put
// something into it.
func TestRetentionOfARealExport(t *testing.T) {
	b := newBench(t, vcsim.Options{})
	spec := job.Spec{VMPath: "/DC/vm/batch-01", Format: "qcow2", OutputPath: "team"}
	spec.Name = "first"
	first := b.export(spec)
	spec.Name = "second"
	second := b.export(spec)
	touched := filepath.Join(filepath.Dir(second.Artifacts[0].Path), "notes.txt")
	if err := os.WriteFile(touched, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }
	x := service.NewRetention(b.store, &remover{outputs: []string{b.root}, node: first.Node},
		service.RetentionPolicy{ArtifactAge: 30 * 24 * time.Hour}, service.RetentionHooks{}, later, slog.New(slog.DiscardHandler))
	r, err := x.Apply(t.Context(), b.user, false)
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
	if r.Artifacts != 1 || r.KeptCount != 1 || r.Bytes < first.Artifacts[0].Bytes || !strings.Contains(r.Kept[0].Reason, "notes.txt") {
		t.Fatalf("%+v", r)
	}
	if _, err := os.Stat(filepath.Dir(first.Artifacts[0].Path)); !os.IsNotExist(err) {
		t.Errorf("the output is there: %v", err)
	}
	if _, err := os.Stat(second.Artifacts[0].Path); err != nil {
		t.Error(err)
	}
}

// What lies elsewhere is not taken for gone, and what is no output of one job is
// not touched.
func TestRemoverIsCareful(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := &remover{outputs: []string{root}, node: "here"}
	at := func(node string, paths ...string) job.Job {
		j := job.Job{ID: "j", Node: node}
		for _, p := range paths {
			j.Artifacts = append(j.Artifacts, job.Artifact{Path: p})
		}
		return j
	}
	for name, c := range map[string]struct {
		job  job.Job
		want fault.Kind
	}{
		"gone":            {at("here", root+"/x/a"), fault.NotFound},
		"on another node": {at("there", root+"/x/a"), fault.Unavailable},
		"two directories": {at("here", root+"/x/a", root+"/y/a"), fault.Conflict},
		"the root itself": {at("here", root+"/a"), fault.Conflict},
		"outside":         {at("here", "/etc/x/a"), fault.Denied},
		"climbs":          {at("here", root+"/../x/a"), fault.Denied},
		"not a file":      {at("here", ""), fault.Conflict},
		"no artifact":     {at("here"), fault.Conflict},
	} {
		if _, err := r.Remove(t.Context(), c.job, false); !fault.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
