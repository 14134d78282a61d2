//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// house is a simulated vCenter and the places of a daemon that may come and go.
type house struct {
	*testing.T
	sim      *vcsim.Server
	journal  *journal // of all its daemons
	config   string   // the daemon's configuration file
	state    string
	output   string // the first root of outputs
	password string // file that holds vCenter's password
	workers  int
	store    string   // URL of a PostgreSQL database; empty: SQLite
	roots    []string // further roots of outputs
	extra    string   // more of the configuration
}

// leaseTimeout is how long a lease without a client lives where clients are
// killed; vCenter itself has 300 s.
const leaseTimeout = 20 * time.Second

// newHouse starts a vCenter. The daemon's places are below a temporary
// directory, or below the given one.
func newHouse(t *testing.T, o vcsim.Options, below ...string) *house {
	t.Helper()
	sim, err := vcsim.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	h := &house{T: t, sim: sim, journal: newJournal(t), workers: 4,
		config: filepath.Join(dir, "config.yaml"), password: filepath.Join(dir, "password")}
	h.furnish(append(below, dir)[0])
	write(t, h.password, sim.Password()+"\n")
	return h
}

// furnish puts the daemon's places below a directory.
func (h *house) furnish(dir string) {
	h.state, h.output = filepath.Join(dir, "state"), filepath.Join(dir, "output")
}

// settle writes the daemon's configuration.
func (h *house) settle() {
	h.Helper()
	var b strings.Builder
	// Who is killed on purpose all the time does not give a job up for it.
	fmt.Fprintf(&b, "listen: 127.0.0.1:0\nstate_dir: %q\nworkers: %d\nmax_crashes: 1000\noutput:\n  roots:\n", h.state, h.workers)
	for _, root := range slices.Concat([]string{h.output}, h.roots) {
		fmt.Fprintf(&b, "    - %q\n", root)
	}
	fmt.Fprintf(&b, "vsphere:\n  url: %q\n  username: %q\n  password_file: %q\n  thumbprint: %q\n",
		h.sim.URL(), h.sim.Username(), h.password, h.sim.Thumbprint())
	if h.store != "" {
		fmt.Fprintf(&b, "store: %q\n", h.store)
	}
	b.WriteString(h.extra)
	write(h.T, h.config, b.String())
}

// key reads the API key that the daemon made.
func (h *house) key() string {
	h.Helper()
	text, err := os.ReadFile(filepath.Join(h.state, "api.key"))
	if err != nil {
		h.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// sent tells how many bytes of disks vCenter sent so far.
func (h *house) sent() (n int64) {
	for _, s := range h.sim.Stats() {
		n += s.Bytes
	}
	return n
}

// submit submits one job, which must be accepted.
func (h *house) submit(d *daemon, s client.Spec) string {
	h.Helper()
	r, err := d.Submit(h.Context(), s)
	if err != nil || len(r.JobIDs) != 1 {
		h.Fatalf("submit %s: %v %+v", s.VMPath, err, r)
	}
	return r.JobIDs[0]
}

func (h *house) get(d *daemon, id string) client.Job {
	h.Helper()
	j, err := d.Get(h.Context(), id)
	if err != nil {
		h.Fatalf("get %s: %v", id, err)
	}
	return j
}

// wait waits until a job has ended.
func (h *house) wait(d *daemon, id string) (j client.Job) {
	h.Helper()
	eventually(h.T, "the end of job "+id, func() bool {
		j = h.get(d, id)
		return j.Status.Final()
	})
	return j
}

// events counts the events of an ended job by kind.
func (h *house) events(d *daemon, id string) map[string]int {
	h.Helper()
	n := map[string]int{}
	for u, err := range d.Events(h.Context(), id, 0) {
		if err != nil {
			h.Fatal(err)
		}
		if u.Event != nil {
			n[u.Event.Kind]++
		}
	}
	return n
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
