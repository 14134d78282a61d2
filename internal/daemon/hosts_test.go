package daemon

import (
	"fmt"
	"testing"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestHostLimit: hosts that serve one NFC stream each refuse none of those that
// three exports and a workflow of two want from the same host at once, if one
// export at a time is all that may read from a host. Nothing counts as a failure.
func TestHostLimit(t *testing.T) {
	t.Parallel()
	var vms []vcsim.VM
	for i := range 5 {
		vms = append(vms, vcsim.VM{Path: fmt.Sprint("web-", i), On: true, Disks: []vcsim.Disk{{Size: 4 << 20, Fill: halfNoise}}})
	}
	run := func(limit int, faults ...vcsim.Fault) (refused int, jobs []job.Job) {
		b := newBench(t, vcsim.Options{VMs: vms, StreamsPerHost: 1}, func(c *EngineConfig) {
			c.Workers, c.HostLimits = 4, map[string]int{"vsphere": limit}
		})
		for _, f := range faults {
			b.sim.Faults().Add(f)
		}
		var ids []string
		for i := range 3 {
			ids = append(ids, b.submit(job.Spec{VMPath: fmt.Sprint("/DC/vm/web-", i), Transport: "nfc", Format: "qcow2", BandwidthLimit: "4MB"}))
		}
		ids = append(ids, b.submit(job.Spec{Name: "two", Jobs: []job.Step{
			{ID: "three", Type: "export", VMPath: "/DC/vm/web-3", Transport: "nfc", Format: "qcow2"},
			{ID: "four", Type: "export", VMPath: "/DC/vm/web-4", Transport: "nfc", Format: "qcow2"},
		}}))
		for _, id := range ids {
			jobs = append(jobs, b.wait(id))
		}
		return b.sim.Refused(), jobs
	}
	refused, jobs := run(1)
	for _, j := range jobs {
		if j.State != job.Completed || j.Attempt != 1 {
			t.Errorf("%s ended %s in attempt %d: %+v", j.ID, j.State, j.Attempt, j.Error)
		}
		for _, s := range j.Steps {
			if s.Attempt != 1 || s.Error != nil {
				t.Errorf("step %+v", s)
			}
		}
	}
	if refused != 0 {
		t.Errorf("the host refused %d streams", refused)
	}
	slow := vcsim.Fault{Kind: vcsim.Slow, Transport: vcsim.NFC, Rate: 512 << 10, Times: 1} // so that others want to read meanwhile
	if refused, _ := run(0, slow); refused == 0 {
		t.Error("without a limit it refuses none: the test shows nothing")
	}
}
