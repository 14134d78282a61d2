//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// lane is a VM that is exported again and again, one job after the other.
type lane struct {
	vm, transport string
	specs         []client.Spec // in turn
	cold          bool          // no snapshot holds it: an interrupted export starts over

	want  roots
	bytes int64 // that an undisturbed export reads
	jobs  []string
	over  []client.Job // ended and not proven yet
}

// inFlight bounds what may be on its way from vCenter to the disk besides the
// data since the last checkpoint: the read-ahead of the provider and the copy,
// and what sockets hold.
const inFlight = (32 + 24) * mib

func lanes() []*lane {
	plain := false
	formats := func(names ...string) (all []client.Spec) {
		for _, f := range names {
			s := client.Spec{Format: f}
			if f == "qcow2 plain" {
				s.Format, s.Compress = "qcow2", &plain
			}
			all = append(all, s)
		}
		return all
	}
	return []*lane{
		{vm: "/DC/vm/dense", transport: "range", specs: formats("raw", "qcow2 plain", "ova", "qcow2", "vmdk")},
		{vm: "/DC/vm/pair", transport: "nfc", specs: formats("ova", "qcow2", "vmdk", "raw", "ovf")},
		{vm: "/DC/vm/holed", transport: "range", specs: formats("qcow2", "ova", "raw", "vmdk")},
		{vm: "/DC/vm/cold", transport: "nfc", specs: formats("vmdk", "qcow2", "ova"), cold: true},
	}
}

func inventory() []vcsim.VM {
	return []vcsim.VM{
		{Path: "dense", On: true, Disks: []vcsim.Disk{dense(256*mib, 1)}},
		{Path: "pair", On: true, Disks: []vcsim.Disk{dense(32*mib, 2), holed(48*mib+512, 3)}},
		{Path: "holed", On: true, CBT: true, Disks: []vcsim.Disk{holed(192*mib, 4), dense(24*mib, 5)}},
		{Path: "cold", Disks: []vcsim.Disk{dense(16*mib, 6)}},
	}
}

// TestChaosKill kills the daemon again and again at random instants while it
// exports over both transports to all formats, and asserts that each job
// nevertheless completes with the root of an undisturbed export, that nothing is
// left anywhere, and that no more was read again than what checkpoints cost.
func TestChaosKill(t *testing.T) {
	h := newHouse(t, vcsim.Options{VMs: inventory(), LeaseTimeout: leaseTimeout})
	c := &killing{house: h, rnd: chance(t), lanes: lanes()}
	c.undisturbed()
	h.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Rate: 24 * mib})
	kills := size(30, 200)
	for i := range kills {
		c.round(i)
	}
	h.sim.Faults().Clear()
	c.finish()
	resumed := h.journal.count("going on from a checkpoint")
	t.Logf("%d kills interrupted %d runs, %d disks went on from a checkpoint", kills, c.cuts, resumed)
	if resumed == 0 {
		t.Error("nothing went on from a checkpoint: the kills prove nothing about them")
	}
	h.tidy()
}

// killing is the state of the kill loop.
type killing struct {
	*house
	rnd   *rand.Rand
	lanes []*lane
	cuts  int // runs that were interrupted
}

// undisturbed exports each VM once in peace: that gives the roots, and what an
// export reads.
func (c *killing) undisturbed() {
	d := c.start()
	for _, l := range c.lanes {
		c.sim.ResetStats()
		j := c.wait(d, c.submit(d, client.Spec{VMPath: l.vm, Transport: l.transport, Format: "raw", OutputPath: "undisturbed"}))
		l.want, l.bytes = c.proven(j), c.read(l)
		c.tidy(j)
		c.discard(j)
	}
	d.stop()
	c.sim.ResetStats()
}

// read is what vCenter sent of a lane's VM.
func (c *killing) read(l *lane) (n int64) {
	for _, s := range c.sim.Stats() {
		if "/DC/vm/"+s.VM == l.vm {
			n += s.Bytes
		}
	}
	return n
}

// round runs a daemon until a random instant: either after so many bytes came
// from vCenter, which does not depend on the machine's speed, or after a while,
// which also hits the start, the verification and the clean-up.
func (c *killing) round(n int) {
	bytes, while := c.rnd.Int64N(192*mib), 20*time.Second
	if n%3 == 0 {
		bytes, while = 1<<40, time.Duration(c.rnd.Int64N(int64(3*time.Second)))
	}
	d := c.start()
	before, end := c.sent(), time.After(while)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for i := 0; c.sent()-before < bytes; i++ {
		if i%40 == 0 {
			c.feed(d)
		}
		select {
		case <-tick.C:
		case <-end:
			bytes = 0
		}
	}
	d.kill()
	for _, l := range c.lanes {
		c.prove(l)
	}
}

// feed submits the next job of each lane whose last one has ended.
func (c *killing) feed(d *daemon) {
	for _, l := range c.lanes {
		if n := len(l.jobs); n > 0 {
			j := c.get(d, l.jobs[n-1])
			if !j.Status.Final() {
				continue
			}
			l.over = append(l.over, j)
		}
		s := l.specs[len(l.jobs)%len(l.specs)]
		s.VMPath, s.Transport, s.OutputPath = l.vm, l.transport, fmt.Sprintf("%s-%d", filepath.Base(l.vm), len(l.jobs))
		l.jobs = append(l.jobs, c.submit(d, s))
	}
}

// prove checks what the ended jobs of a lane published, and removes it.
func (c *killing) prove(l *lane) {
	for _, j := range l.over {
		if got := c.proven(j); !slices.Equal(got, l.want) {
			c.Errorf("job %s of %s as %s has roots %v, undisturbed it has %v", j.ID, l.vm, j.Spec.Format, got, l.want)
		}
		c.discard(j)
	}
	l.over = nil
}

// finish lets the last jobs end and judges the bytes.
func (c *killing) finish() {
	d := c.start()
	for _, l := range c.lanes {
		l.over = append(l.over, c.wait(d, l.jobs[len(l.jobs)-1]))
	}
	for _, l := range c.lanes {
		c.prove(l)
		c.judge(d, l)
	}
	d.stop()
}

// judge compares what was read again with what the checkpoints allow.
func (c *killing) judge(d *daemon, l *lane) {
	cuts, restarts := 0, 0
	for _, id := range l.jobs {
		cuts += c.events(d, id)["job.interrupted"]
		for _, line := range c.journal.grep("starting over") {
			if strings.Contains(line, id) {
				restarts++
			}
		}
	}
	c.cuts += cuts
	again := c.read(l) - int64(len(l.jobs))*l.bytes
	bound := int64(cuts*len(l.want)) * (disk.CheckpointBytes + inFlight)
	c.Logf("%s over %s: %d jobs, %d interruptions, %d started over; read again %d MiB, %d MiB for each interruption; bound %d MiB",
		l.vm, l.transport, len(l.jobs), cuts, restarts, again/mib, again/mib/int64(max(1, cuts)), bound/mib)
	if l.transport == "range" && again > bound+mib {
		c.Errorf("%s: %d MiB were read again in %d interruptions, allowed are %d", l.vm, again/mib, cuts, bound/mib)
	}
	if restarts > 0 && !l.cold {
		c.Errorf("%s: %d runs gave up what they had", l.vm, restarts)
	}
}
