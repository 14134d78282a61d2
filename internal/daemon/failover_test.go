package daemon

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// newDatabase is a PostgreSQL of the test's own.
func newDatabase(t *testing.T) *pgtest.Server {
	t.Helper()
	s, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, s) })
	return s
}

func stopped(t *testing.T, s *pgtest.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// TestDatabaseFailover: two daemons on a primary and its synchronous standby export
// while the primary is killed. They say that they are not ready, go on reading
// meanwhile, and come back by themselves when the standby has taken over: no job
// was lost or begun anew.
func TestDatabaseFailover(t *testing.T) {
	t.Parallel()
	primary := newDatabase(t)
	database := primary.URL(t)
	standby, err := primary.Standby(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, standby) })
	sim, err := vcsim.Start(t.Context(), vcsim.Options{VMs: []vcsim.VM{noisy("vm-0", 24<<20), noisy("vm-1", 24<<20), noisy("vm-2", 1<<20)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	edit := func(c *Config) {
		c.Workers = 1
		c.VSphere = VSphereConfig{URL: sim.URL().String(), Username: sim.Username(), Password: secret.New(sim.Password()), Thumbprint: sim.Thumbprint()}
		if err := c.Store.UnmarshalText([]byte(pgtest.Hosts(t, database, primary, standby))); err != nil {
			t.Fatal(err)
		}
	}
	a := newObserved(t, edit)
	b := newObserved(t, func(c *Config) {
		edit(c)
		c.Output.Roots = a.cfg.Output.Roots
	})
	nodes := []*observed{a, b}
	var ids []string
	for i, n := range nodes {
		ids = append(ids, n.submit(fmt.Sprintf("{vm_path: /DC/vm/vm-%d, format: raw, bandwidth_limit: 2MB}", i)))
	}
	for _, n := range nodes {
		n.probe("/readyz", 200)
		n.eventually("it copies", func() bool { return n.read() > 0 })
	}

	if err := primary.Down(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if text := n.probe("/readyz", 503); !strings.Contains(text, "[-] database: unhealthy") {
			t.Error(text)
		}
		before := n.read()
		n.eventually("the transfer goes on", func() bool { return n.read() > before })
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.probe("/readyz", 200)
	}
	for i, id := range ids { // they have the time for it
		if status, text := nodes[i].ask("PUT", "/jobs/"+id+"/bandwidth", `{"bandwidth_limit": "unlimited"}`, "Content-Type", "application/json"); status != 200 {
			t.Fatal(status, text)
		}
	}
	ids = append(ids, a.submit("{vm_path: /DC/vm/vm-2, format: raw}"))
	for _, id := range ids {
		j := b.end(id, client.Completed)
		if j.Attempt != 1 {
			t.Errorf("%s took %d attempts", id, j.Attempt)
		}
		if status, history := b.ask("GET", "/jobs/"+id+"/events", ""); status != 200 || strings.Count(history, "event: job.completed\n") != 1 {
			t.Errorf("the events of %s: %d %s", id, status, history)
		}
	}
}
