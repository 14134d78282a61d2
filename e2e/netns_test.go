//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// takeover is within what a job goes on elsewhere when its node is cut off.
const takeover = 30 * time.Second

// startIn runs a daemon in a namespace. Its API listens on the loopback there.
func (h *house) startIn(s *namespace, listen string) *daemon {
	h.Helper()
	d := h.launch("ip", "netns", "exec", s.name, "env", "HYPERVISORD_LISTEN="+listen)
	select {
	case d.url = <-d.ready:
	case <-d.exited:
		h.Fatalf("the daemon ended at once: %v", d.err)
	}
	var err error
	if d.Client, err = client.New(d.url, client.Options{APIKey: h.key(), HTTPClient: h.clientIn(s)}); err != nil {
		h.Fatal(err)
	}
	return d
}

func (h *house) clientIn(s *namespace) *http.Client {
	h.Helper()
	t := &http.Transport{DialContext: s.dial}
	h.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// newSplitCluster starts two daemons, each in a namespace of its own, which reach
// the database and the vCenter over one switch. They share the outputs.
func newSplitCluster(t *testing.T) (c *cluster, a, b *namespace) {
	t.Helper()
	n := newNetwork(t)
	a, b = n.namespace(), n.namespace()
	pg, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	size := int64(disk.CheckpointBytes + 96*mib)
	h := newHouse(t, vcsim.Options{
		Listen: n.address() + ":0", HostListen: n.address() + ":0", LeaseTimeout: leaseTimeout,
		VMs: []vcsim.VM{
			{Path: "dense-0", On: true, Disks: []vcsim.Disk{dense(size, 1)}},
			{Path: "dense-1", On: true, Disks: []vcsim.Disk{dense(size, 1)}},
			{Path: "dense-2", On: true, Disks: []vcsim.Disk{dense(size, 1)}},
		},
	})
	c = &cluster{house: h, pg: pg, link: newLink(t, pg.URL(t), n.address())}
	second := *h
	dir := t.TempDir()
	second.state, second.config, second.journal = filepath.Join(dir, "state"), filepath.Join(dir, "config.yaml"), newJournal(t)
	for _, one := range []*house{h, &second} {
		one.store, one.workers = c.link.url, 2
	}
	c.a, c.b = h.startIn(a, "127.0.0.1:7001"), second.startIn(b, "127.0.0.1:7002")
	j := c.wait(c.a, c.submit(c.a, client.Spec{VMPath: "/DC/vm/dense-0", Format: "raw", OutputPath: "undisturbed", Transport: "range"}))
	c.want = c.proven(j)
	c.discard(j)
	return c, a, b
}

// TestNodeUnplugged pulls the network cable of a node while it exports: it gives
// up what it runs by its own clock, the other node takes it over and completes
// it, and the first one changes nothing about the job when it is plugged in again.
func TestNodeUnplugged(t *testing.T) {
	c, cable, _ := newSplitCluster(t)
	first, other := c.id(c.a), c.id(c.b)
	id, all := c.running(c.a)
	api := c.clientIn(cable)
	cable.unplug()
	cut := time.Now()
	eventually(t, "the other node to take the job over", func() bool { return c.get(c.b, id).Node == other })
	took := time.Since(cut)
	t.Logf("taken over after %s", took.Round(100*time.Millisecond))
	if took > takeover {
		t.Errorf("the job went on after %s, the bar is %s", took, takeover)
	}
	if c.answer(api, "/readyz", "") {
		t.Error("the node says that it is ready, without a database")
	}
	eventually(t, "the node to give up by itself what it ran", func() bool {
		return c.answer(api, "/metrics", "hypervisord_runs_total{outcome=") && !c.answer(api, "/metrics", `hypervisord_runs_total{outcome="lost"} 0`)
	})
	cable.plug()
	eventually(t, "the node to be ready again", func() bool { return c.answer(api, "/readyz", "") })
	c.wait(c.b, id) // as slow as it is: the first node has the time to spoil it
	c.finish(c.b, all)
	if c.journal.count("going on from a checkpoint")+c.b.house.journal.count("going on from a checkpoint") == 0 {
		t.Error("nothing went on from a checkpoint")
	}
	again := c.wait(c.a, c.submit(c.a, client.Spec{VMPath: "/DC/vm/dense-0", Format: "raw", OutputPath: "again"}))
	c.proven(again)
	c.a.stop()
	c.judge(id, first, other)
	c.b.stop()
}

// answer tells whether the first daemon answers with 200 and such a text.
func (c *cluster) answer(api *http.Client, path, text string) bool {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), http.MethodGet, c.a.url+path, http.NoBody)
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key())
	res, err := api.Do(req)
	if err != nil {
		c.Fatalf("the API of the node does not answer on its own loopback: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	return res.StatusCode == http.StatusOK && strings.Contains(string(body), text)
}

// judge asserts that nothing in the history of a job is of the first node once
// the other one has it.
func (c *cluster) judge(id, first, other string) {
	c.Helper()
	var history []string
	taken := false
	for u, err := range c.b.Events(c.Context(), id, 0) {
		if err != nil {
			c.Fatal(err)
		}
		if u.Event == nil {
			continue
		}
		e := u.Event
		history = append(history, e.Kind+" "+e.Actor+" "+e.Data.Node)
		taken = taken || e.Kind == "job.started" && e.Data.Node == other
		if taken && (e.Data.Node == first || strings.Contains(e.Actor, first)) {
			c.Errorf("the node that was cut off changed the job later: %s", history[len(history)-1])
		}
	}
	if !taken || !slices.ContainsFunc(history, func(s string) bool { return strings.HasPrefix(s, "job.interrupted ") }) {
		c.Errorf("the job was not taken over: %q", history)
	}
}
