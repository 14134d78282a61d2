package daemon

import (
	"bytes"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestBoot: the simulator's guest boots from the export, which stays as it was;
// a guest that says something else did not boot.
func TestBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("an emulated machine: make race runs this without the race detector")
	}
	p := newPlant(t, vcsim.Options{}, nil)
	marker := p.sim.Marker("/DC/vm/web-01")
	if marker == "" {
		t.Fatal("the simulator's guest has no marker")
	}
	j := p.end(p.submit(`
jobs:
  - {id: e, type: export, vm_path: /DC/vm/web-01, format: qcow2, exclude_disks: ["2001"]}
  - {id: boot, type: boot, depends_on: e, input: $e.output, marker: "` + marker + `"}
  - {id: other, type: boot, depends_on: boot, input: $e.output, marker: "login:", timeout: 20s}
`))
	boot := stepOf(j, "boot")
	if boot.Status != "completed" || len(boot.Artifacts) != 2 {
		t.Fatalf("%+v", boot)
	}
	log, err := os.ReadFile(boot.Artifacts[0].Path)
	if err != nil || !strings.Contains(string(log), marker) {
		t.Errorf("%q %v", log, err)
	}
	screen, err := os.ReadFile(boot.Artifacts[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(screen)); err != nil || img.Bounds().Dx() < 320 {
		t.Errorf("no screenshot: %v", err)
	}
	if other := stepOf(j, "other"); other.Status != "failed" || other.Error.Code != "HX-BOOT-004" || other.Attempt != 1 {
		t.Errorf("%+v", other)
	}
	if j.Status != client.Failed {
		t.Error(j.Status)
	}
	rep, err := artifact.Verify(t.Context(), p.cfg.Output.Roots[0]+"/web-01", nil, nil)
	if err != nil || !rep.OK() {
		t.Errorf("the export was changed: %+v %v", rep, err)
	}
	p.clean()
}
