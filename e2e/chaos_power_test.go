//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestChaosPower cuts the power below the daemon's state and its outputs at
// random instants. Each job that was acknowledged before is there after, each
// output of a job that was completed before is there and proven, and the others
// complete.
func TestChaosPower(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *volume) {
		rnd := chance(t)
		var twins []vcsim.VM
		for n := range powerJobs {
			twins = append(twins, vcsim.VM{Path: twin(n), On: true, Disks: []vcsim.Disk{dense(8*mib, 1), holed(12*mib, 2)}})
		}
		h := newHouse(t, vcsim.Options{LeaseTimeout: leaseTimeout, VMs: twins}, v.dir)
		d := h.start()
		var want roots
		acked, completed, gone := map[string]bool{}, map[string]bool{}, map[string]bool{}
		cuts := size(3, 25)
		for cut := range cuts {
			end := time.After(time.Duration(rnd.Int64N(int64(3 * time.Second))))
			for n, cutNow := 0, false; !cutNow; n++ {
				if n < powerJobs {
					acked[h.submit(d, powerSpec(cut, n))] = true
				}
				for _, j := range h.all(d) {
					if j.Status == client.Completed {
						completed[j.ID] = true
					}
				}
				select {
				case <-end:
					cutNow = true
				case <-time.After(10 * time.Millisecond):
				}
			}
			known := len(completed)
			v.cut() // what was said until here holds
			d.kill()
			v.restore()
			d = h.start()
			for _, j := range h.all(d) {
				if completed[j.ID] && j.Status != client.Completed {
					t.Errorf("job %s was completed, and is %s after the power cut", j.ID, j.Status)
				}
			}
			jobs := slices.DeleteFunc(h.settled(d, acked), func(j client.Job) bool { return gone[j.ID] })
			for _, j := range jobs {
				got := h.proven(j)
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Errorf("job %s has roots %v, others %v", j.ID, got, want)
				}
			}
			h.tidy(jobs...)
			for _, j := range jobs { // the volume is small
				completed[j.ID], gone[j.ID] = true, true
				h.discard(j)
			}
			t.Logf("cut %d: %d jobs acknowledged, %d completed before it", cut+1, len(acked), known)
		}
		d.stop()
	})
}

// powerJobs are submitted before each cut, each of a VM of its own: a snapshot of
// one export would keep another from reading the flat file.
const powerJobs = 6

func twin(n int) string { return fmt.Sprintf("twin-%d", n) }

// powerSpec is a job with a place of its own.
func powerSpec(cut, n int) client.Spec {
	return client.Spec{
		VMPath: twin(n), Format: []string{"qcow2", "ova", "raw"}[n%3], Transport: []string{"range", "nfc"}[n/3%2],
		OutputPath: fmt.Sprintf("cut-%d/%d", cut, n),
	}
}

// all lists every job.
func (h *house) all(d *daemon) (all []client.Job) {
	h.Helper()
	for j, err := range d.Jobs(h.Context(), client.Query{Limit: 1000}) {
		if err != nil {
			h.Fatal(err)
		}
		all = append(all, j)
	}
	return all
}

// settled waits for every job there is, and asserts that the acknowledged ones
// are among them.
func (h *house) settled(d *daemon, acked map[string]bool) (jobs []client.Job) {
	h.Helper()
	found := 0
	for _, j := range h.all(d) {
		if acked[j.ID] {
			found++
		}
		jobs = append(jobs, h.wait(d, j.ID))
	}
	if found != len(acked) {
		h.Errorf("%d jobs were acknowledged, %d of them are there", len(acked), found)
	}
	return jobs
}
