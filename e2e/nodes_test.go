//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// exports is how many run at once; all their VMs have the same content.
const exports = 3

// cluster is two daemons on one PostgreSQL and one vCenter.
type cluster struct {
	*house // of the first daemon; its outputs are the cluster's
	pg     *pgtest.Server
	link   *link // between a and the database
	a, b   *daemon
	want   roots // of each VM
}

// newCluster starts the daemons. They share the outputs, or each has its own.
func newCluster(t *testing.T, shared bool) *cluster {
	t.Helper()
	pg, err := pgtest.Start(t.Context(), "fsync=on")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	var vms []vcsim.VM
	for i := range exports {
		vms = append(vms, vcsim.VM{Path: fmt.Sprint("dense-", i), On: true, Disks: []vcsim.Disk{dense(disk.CheckpointBytes+96*mib, 1)}})
	}
	h := newHouse(t, vcsim.Options{VMs: vms, LeaseTimeout: leaseTimeout})
	database := pg.URL(t)
	c := &cluster{house: h, pg: pg, link: newLink(t, database, "127.0.0.1")}
	second := *h
	h.store, h.workers = c.link.url, 2
	second.store, second.workers = database, 2
	dir := t.TempDir()
	second.state, second.config = filepath.Join(dir, "state"), filepath.Join(dir, "config.yaml")
	if !shared {
		second.output = filepath.Join(dir, "output")
		h.roots = []string{second.output} // for the checks; links lead nowhere
		second.roots = []string{h.output}
	}
	c.a, c.b = h.start(), second.start()
	j := c.wait(c.a, c.submit(c.a, client.Spec{VMPath: "/DC/vm/dense-0", Format: "raw", OutputPath: "undisturbed", Transport: "range"}))
	c.want = c.proven(j)
	c.discard(j)
	return c
}

// signal sends a signal to the daemon.
func (d *daemon) signal(s syscall.Signal) {
	d.house.Helper()
	if err := syscall.Kill(-d.cmd.Process.Pid, s); err != nil {
		d.house.Fatal(err)
	}
}

// isReady asks the daemon whether it is.
func (d *daemon) isReady() bool {
	d.house.Helper()
	ctx, cancel := context.WithTimeout(d.house.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/readyz", http.NoBody)
	if err != nil {
		d.house.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		select {
		case <-d.exited:
			d.house.Fatalf("the daemon ended: %v", d.err)
		default:
		}
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// id is the name of a daemon's node.
func (c *cluster) id(d *daemon) string {
	c.Helper()
	nodes, err := d.Nodes(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(n client.Node) bool { return n.URL == d.url })
	if i < 0 {
		c.Fatalf("%s is not on the list %+v", d.url, nodes)
	}
	return nodes[i].ID
}

// running submits exports until one of them runs on the daemon and is past its
// first checkpoint. It returns that one first, and all.
func (c *cluster) running(on *daemon) (id string, all []string) {
	c.Helper()
	c.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Rate: 4 * mib})
	node := c.id(on)
	for i := range exports {
		vm, format := fmt.Sprint("/DC/vm/dense-", i), []string{"qcow2", "raw", "ova"}[i]
		all = append(all, c.submit(c.b, client.Spec{VMPath: vm, Format: format, OutputPath: fmt.Sprint(i), Transport: "range"}))
	}
	eventually(c.T, "an export to be past its checkpoint on "+node, func() bool {
		for _, j := range all {
			got := c.get(c.b, j)
			if got.Status == client.Running && got.Node == node && got.Progress != nil && got.Progress.BytesRead > disk.CheckpointBytes+inFlight/2 {
				id = j
				return true
			}
		}
		return false
	})
	return id, all
}

// finish lets all jobs end on the daemon and judges what they stored.
func (c *cluster) finish(d *daemon, ids []string) {
	c.Helper()
	c.sim.Faults().Clear()
	var done []client.Job
	for _, id := range ids {
		j := c.wait(d, id)
		if got := c.proven(j); !slices.Equal(got, c.want) {
			c.Errorf("job %s has roots %v, undisturbed it has %v", id, got, c.want)
		}
		if n := c.events(d, id)["job.completed"]; n != 1 {
			c.Errorf("job %s was completed %d times", id, n)
		}
		done = append(done, j)
	}
	c.tidy(done...)
}

// TestNodeKilled: the jobs of a node that was killed go on at the other one, from
// their checkpoints.
func TestNodeKilled(t *testing.T) {
	c := newCluster(t, true)
	id, all := c.running(c.a)
	c.a.kill()
	killed := time.Now()
	eventually(t, "the other node to take the job over", func() bool {
		j := c.get(c.b, id)
		return j.Status == client.Completed || j.Node == c.id(c.b)
	})
	t.Logf("taken over after %s (bar 30 s)", time.Since(killed).Round(time.Second))
	c.finish(c.b, all)
	if c.journal.count("going on from a checkpoint") == 0 {
		t.Error("nothing went on from a checkpoint")
	}
	if n := c.journal.count("starting over"); n > 0 {
		t.Errorf("%d runs gave up what they had", n)
	}
}

// TestNodeKilledOutputsApart: where the nodes do not share the outputs, the job
// starts over at the other node.
func TestNodeKilledOutputsApart(t *testing.T) {
	c := newCluster(t, false)
	_, all := c.running(c.a)
	c.a.kill()
	c.sim.Faults().Clear()
	for _, id := range all {
		j := c.wait(c.b, id)
		if got := c.proven(j); !slices.Equal(got, c.want) {
			t.Errorf("job %s has roots %v, undisturbed it has %v", id, got, c.want)
		}
	}
	if c.journal.count("starting over") == 0 {
		t.Error("nothing started over: the test proves nothing")
	}
	// The killed node removes its remains when it is back.
	if left := c.sim.Leftovers(); len(left) > 0 {
		t.Errorf("left on vCenter: %v", left)
	}
}

// TestNodeStopped: a node that was suspended for longer than its lease cannot
// write any more what another one has taken over, and works again afterwards.
func TestNodeStopped(t *testing.T) {
	c := newCluster(t, true)
	id, all := c.running(c.a)
	c.a.signal(syscall.SIGSTOP)
	eventually(t, "the other node to take the job over", func() bool {
		j := c.get(c.b, id)
		return j.Status == client.Completed || j.Node == c.id(c.b)
	})
	c.a.signal(syscall.SIGCONT)
	c.finish(c.b, all)
	if c.events(c.b, id)["job.interrupted"] == 0 {
		t.Errorf("job %s was not interrupted", id)
	}
	again := c.wait(c.a, c.submit(c.a, client.Spec{VMPath: "/DC/vm/dense-0", Format: "raw", OutputPath: "again"}))
	c.proven(again)
}

// TestNodePartitioned: a node that is cut off from the database gives up what it
// runs before the other one takes it over, and is back when the network is.
func TestNodePartitioned(t *testing.T) {
	c := newCluster(t, true)
	id, all := c.running(c.a)
	other := c.id(c.b)
	c.link.cut()
	cut := time.Now()
	eventually(t, "the cut-off node to say that it is not ready", func() bool { return !c.a.isReady() })
	eventually(t, "the other node to take the job over", func() bool {
		j := c.get(c.b, id)
		return j.Status == client.Completed || j.Node == other
	})
	t.Logf("taken over after %s (bar 30 s)", time.Since(cut).Round(time.Second))
	c.link.heal()
	c.finish(c.b, all)
	eventually(t, "the node to be ready again", c.a.isReady)
	again := c.wait(c.a, c.submit(c.a, client.Spec{VMPath: "/DC/vm/dense-0", Format: "raw", OutputPath: "again"}))
	c.proven(again)
}

// TestNodesSurviveTheDatabase: a restart of PostgreSQL, in order and by a crash,
// in the middle of exports costs nobody anything.
func TestNodesSurviveTheDatabase(t *testing.T) {
	c := newCluster(t, true)
	_, all := c.running(c.a)
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := c.pg.Down(how); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the node to say that it is not ready", func() bool { return !c.a.isReady() })
		if err := c.pg.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the node to be ready again", func() bool { return c.a.isReady() && c.b.isReady() })
	}
	c.finish(c.b, all)
	c.a.stop()
	c.b.stop()
}

// TestNodeDrains: a node that is stopped in order hands its jobs to the other at
// once and leaves the list; a cancel reaches a job on another node.
func TestNodeDrains(t *testing.T) {
	c := newCluster(t, true)
	id, all := c.running(c.a)
	asked := time.Now()
	if _, err := c.b.Cancel(t.Context(), id, "from the other node"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cancel to reach the other node", func() bool { return c.get(c.b, id).Status == client.Cancelled })
	t.Logf("cancelled and cleaned up on the other node after %s", time.Since(asked).Round(10*time.Millisecond))
	all = slices.DeleteFunc(all, func(s string) bool { return s == id })
	c.a.stop()
	nodes, err := c.b.Nodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].State != "alive" || nodes[0].URL != c.b.url {
		t.Errorf("the list is %+v, %v", nodes, err)
	}
	c.finish(c.b, all)
}
