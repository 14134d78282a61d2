package daemon

import (
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestBandwidthOfSteps: each export of a workflow keeps to its own limit, and all
// of them together to that of the workflow, which is changed while they run.
func TestBandwidthOfSteps(t *testing.T) {
	const size = 6 << 20
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", size), noisy("b", size)}})
	workflow := func(limit string, a, b job.Bandwidth) job.Spec {
		return job.Spec{BandwidthLimit: job.Bandwidth(limit), Jobs: []job.Step{
			{ID: "a", Type: "export", VMPath: "/DC/vm/a", Format: "raw", OutputPath: limit, BandwidthLimit: a},
			{ID: "b", Type: "export", VMPath: "/DC/vm/b", Format: "raw", OutputPath: limit, BandwidthLimit: b, BandwidthWindows: []string{"00:00-24:00 = 3MB"}},
		}}
	}
	byStep := b.export(workflow("", "4MB", "50MB"))
	for i, rate := range []float64{4e6, 3e6} {
		s := byStep.Steps[i]
		slower(t, s.FinishedAt.Sub(*s.StartedAt), size, rate)
	}
	together := b.export(workflow("4MB", "", ""))
	slower(t, took(together), 2*size, 4e6)

	id := b.submit(workflow("20KB", "", ""))
	b.limitedBy(id, "bandwidth (job)")
	if _, err := b.Service.SetBandwidth(t.Context(), b.user, id, "unlimited", nil); err != nil {
		t.Fatal(err)
	}
	if j := b.wait(id); j.State != job.Completed || took(j) > 4*time.Minute {
		t.Errorf("%s after %s: %+v", j.State, took(j), j.Error)
	}
	b.clean()
}
