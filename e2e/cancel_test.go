//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestFaultsCancel cancels jobs in every state in which they can be: bytes stop,
// nothing is left, and only then the job is cancelled.
func TestFaultsCancel(t *testing.T) {
	for _, transport := range []string{"range", "nfc"} {
		t.Run("running over "+transport, func(t *testing.T) {
			h := newHouse(t, vcsim.Options{VMs: smallVMs()})
			h.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Rate: mib})
			d := h.start()
			id := h.submit(d, client.Spec{VMPath: victim, Transport: transport, Format: "qcow2"})
			eventually(t, "the first bytes", func() bool { return h.sent() > mib })
			h.cancelled(d, id)
			d.stop()
		})
	}
	t.Run("pending", func(t *testing.T) {
		h := newHouse(t, vcsim.Options{VMs: smallVMs()})
		h.workers = 1
		h.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Rate: mib / 2})
		d := h.start()
		first := h.submit(d, client.Spec{VMPath: victim})
		eventually(t, "the first job to run", func() bool { return h.get(d, first).Status == client.Running })
		second := h.submit(d, client.Spec{VMPath: "/DC/vm/batch-01"})
		if _, err := d.Cancel(t.Context(), second, "not needed"); err != nil {
			t.Fatal(err)
		}
		if j := h.get(d, second); j.Status != client.Cancelled || j.CancelReason != "not needed" {
			t.Errorf("a pending job that was cancelled is %+v", j)
		}
		h.cancelled(d, first)
		d.stop()
	})
	t.Run("retrying", func(t *testing.T) {
		h := newHouse(t, vcsim.Options{VMs: smallVMs()})
		h.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.NFC})
		d := h.start()
		id := h.submit(d, client.Spec{VMPath: victim, Transport: "nfc", MaxAttempts: 9})
		eventually(t, "the job to wait for its second attempt", func() bool {
			j := h.get(d, id)
			return j.Status == client.Pending && j.Attempt > 0 && j.Error != nil
		})
		h.cancelled(d, id)
		d.stop()
	})
}

// cancelled cancels a job and asserts that it ends so, that the bytes stop, and
// that nothing is left by then.
func (h *house) cancelled(d *daemon, id string) {
	h.Helper()
	asked := time.Now()
	if _, err := d.Cancel(h.Context(), id, "enough"); err != nil {
		h.Fatal(err)
	}
	// The instant at which the last byte was seen.
	last, seen, quiet := asked, h.sent(), 0
	eventually(h.T, "the bytes to stop", func() bool {
		if n := h.sent(); n != seen {
			last, seen, quiet = time.Now(), n, 0
		} else {
			quiet++
		}
		return quiet > 25 // looks
	})
	j := h.wait(d, id)
	h.Logf("bytes stopped %s after the cancel, the job was %s after %s", last.Sub(asked).Round(time.Millisecond),
		j.Status, time.Since(asked).Round(time.Millisecond))
	if j.Status != client.Cancelled || j.CancelReason != "enough" {
		h.Errorf("the job ended %s (%q): %+v", j.Status, j.CancelReason, j.Error)
	}
	h.tidy()
	if n := h.sent(); n != seen {
		h.Errorf("%d bytes came after they had stopped", n-seen)
	}
}
