package storetest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var queryPending = service.Query{States: []job.State{job.Pending}, Limit: 100}

// claims takes up to n jobs and returns the first letters of their tenants.
func (w *world) claims(node string, n int) ([]dispatch.Lease, string) {
	w.Helper()
	leases, err := w.Claim(w.ctx, node, lease, n)
	w.must(err)
	tenants := make([]byte, len(leases))
	for i, l := range leases {
		tenants[i] = l.Job.Tenant[0]
	}
	return leases, string(tenants)
}

func (w *world) wantClaims(node string, n int, want string) []dispatch.Lease {
	w.Helper()
	leases, got := w.claims(node, n)
	if got != want {
		w.Fatalf("%s claimed %q, want %q", node, got, want)
	}
	return leases
}

func (w *world) setTenant(id string, weight int64, limit int, paused bool) {
	w.Helper()
	set := func(a *tenant.Account) error {
		a.Weight, a.MaxConcurrentJobs, a.Paused = int(weight), int64(limit), paused
		return nil
	}
	_, err := w.ChangeTenant(w.ctx, w.platform(), tenant.ID(id), set)
	if fault.Is(err, fault.NotFound) {
		a := tenant.Account{ID: tenant.ID(id), Name: id, State: tenant.Active, CreatedAt: w.now()}
		_ = set(&a)
		err = w.CreateTenant(w.ctx, w.platform(), a)
	}
	w.must(err)
}

func (w *world) fill(n int, s tenant.Scope, edit ...func(*job.Spec)) {
	for range n {
		w.submitTo(s, edit...)
	}
}

// testFairShare: a tenant that comes first with many jobs does not make another
// one wait for all of them, within one claim and over several.
func testFairShare(w *world) {
	w.fill(9, w.ours)
	w.fill(4, w.theirs)
	w.wantClaims("a", 4, "otot")
	w.wantClaims("b", 1, "o")
	w.wantClaims("b", 9, "totooooo")
	w.setTenant("ours", 3, 0, false)
	w.fill(9, w.ours, priority(job.Low))
	w.fill(3, w.theirs, priority(job.Low))
	w.wantClaims("a", 5, "otooo")
	w.wantClaims("b", 5, "tooot")
}

// testTenantLimit: the limit holds over all nodes, and a job that is cancelling
// holds its slot until its side effects are gone.
func testTenantLimit(w *world) {
	w.setTenant("ours", 1, 2, false)
	w.fill(4, w.ours, priority(job.Critical))
	w.fill(1, w.theirs, priority(job.Low))
	first := w.wantClaims("a", 1, "o")[0]
	w.wantClaims("b", 9, "ot")
	w.cancel(first.Job.ID, "")
	w.wantClaims("b", 9, "")
	page, err := w.Reader(w.ours).Jobs(w.ctx, queryPending, 0)
	w.must(err)
	for _, j := range page {
		if j.WaitReason != job.WaitTenantLimit {
			w.Errorf("%s waits for %q", j.ID, j.WaitReason)
		}
	}
	w.apply(first, job.SettleBy("a"))
	last := w.wantClaims("a", 9, "o")[0]
	w.advance(lease + time.Second)
	w.wantClaims("b", 9, "") // nobody has noticed yet that the nodes are dead
	if _, err := w.Reap(w.ctx); err != nil {
		w.Fatal(err)
	}
	w.wantClaims("b", 9, "oot")
	w.wantState(last.Job.ID, job.Running)
	w.setTenant("ours", 1, 1, false)
	w.wantClaims("b", 9, "")
	w.setTenant("ours", 1, 0, false)
	w.wantClaims("b", 9, "o")
}

func testTenantPause(w *world) {
	w.setTenant("ours", 1, 0, true)
	held := w.submit(priority(job.Critical))
	w.fill(1, w.theirs, priority(job.Low))
	w.wantClaims("a", 9, "t")
	if got := w.job(held.ID).WaitReason; got != job.WaitPaused {
		w.Errorf("it waits for %q", got)
	}
	w.setTenant("ours", 1, 0, false)
	w.wantClaims("a", 9, "o")
}

// testAgeing: a job of the lowest class gets its turn among any number of
// critical ones, once it has waited for long.
func testAgeing(w *world) {
	old := w.submitTo(w.theirs, priority(job.Low))
	w.advance(time.Hour)
	w.fill(20, w.ours, priority(job.Critical))
	leases, got := w.claims("a", 9)
	if got != "ooooooo"+"t"+"o" || leases[7].Job.ID != old.ID {
		w.Errorf("claimed %s", got)
	}
}

// testAdmission plays a random history and compares each claim with what package
// admission decides on a state that is counted anew from all jobs.
func testAdmission(w *world) {
	for seed := range uint64(3) {
		m := &fairModel{world: w, dice: dice(seed), policy: admission.Policy{}.WithDefaults()}
		m.Store = w.open(w.T, w.now)
		for _, id := range []string{"one", "two", "three", "four"} {
			m.tenants = append(m.tenants, admission.Share{Tenant: id, Weight: 1})
			m.scopes = append(m.scopes, scope(w.T, tenant.ID(id)))
		}
		if seed > 0 { // the first is without hosts
			m.hosts = []string{"one", "two", "three"}
			m.state.Hosts = admission.Hosts{"p/one": {Limit: 2}, "p/two": {Limit: 2}, "p/three": {Limit: 2}}
			w.must(m.LimitHosts(m.ctx, "p", 2))
		}
		for range 300 {
			m.step()
		}
		if m.hosts != nil && (m.full < 20 || m.reserved < 10) {
			w.Errorf("seed %d: %d jobs found their host full, %d started with a slot", seed, m.full, m.reserved)
		}
		if m.aged == 0 || m.started < 50 {
			w.Errorf("seed %d: %d jobs were started, %d of them in the turn of the aged", seed, m.started, m.aged)
		}
	}
}

// dice are the same for each seed.
func dice(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // nothing is secret here
}

type fairModel struct {
	*world
	dice    *rand.Rand
	policy  admission.Policy
	tenants []admission.Share // what lasts: limits, running, served
	scopes  []tenant.Scope
	state   admission.State // turn and virtual times
	waiting []job.Job
	leases  []dispatch.Lease
	started int
	aged    int

	hosts    []string
	full     int // jobs that found their host full
	reserved int // claims that gave a slot
}

func (m *fairModel) step() {
	i := m.dice.IntN(len(m.tenants))
	switch n := m.dice.IntN(10); {
	case n < 4:
		p := job.PriorityOf(m.dice.IntN(admission.Classes))
		m.waiting = append(m.waiting, m.submitTo(m.scopes[i], priority(p)))
	case n < 6:
		m.claim(1 + m.dice.IntN(3))
	case n < 8:
		m.end()
	case n < 9:
		t := &m.tenants[i]
		t.Weight, t.Limit, t.Paused = 1+m.dice.Int64N(4), m.dice.IntN(5), m.dice.IntN(5) == 0
		m.setTenant(t.Tenant, t.Weight, t.Limit, t.Paused)
	default:
		m.advance(time.Duration(m.dice.IntN(600)) * time.Second)
		for _, l := range m.leases {
			_, err := m.Renew(m.ctx, l, lease, nil)
			m.must(err)
		}
	}
}

// end gives a job back or completes it.
func (m *fairModel) end() {
	if len(m.leases) == 0 {
		return
	}
	i := m.dice.IntN(len(m.leases))
	l := m.leases[i]
	m.leases = slices.Delete(m.leases, i, i+1)
	c := job.CompleteWith("a", job.Outcome{})
	if m.dice.IntN(3) == 0 {
		c = job.InterruptBy("a", "")
	}
	j := m.apply(l, c)
	if j.State == job.Pending {
		m.waiting = append(m.waiting, j)
	}
	m.tenants[m.tenant(j.Tenant)].Running--
	if l.Job.Host != "" {
		m.hold(l.Job.Host, -1)
	}
}

func (m *fairModel) hold(key string, n int) {
	h := m.state.Hosts[key]
	h.Held += n
	m.state.Hosts[key] = h
}

// read lets a job that was claimed read from a host.
func (m *fairModel) read(l dispatch.Lease) (dispatch.Lease, bool) {
	if l.Job.Host != "" || m.hosts == nil || m.dice.IntN(3) == 0 {
		return l, true
	}
	host := m.hosts[m.dice.IntN(len(m.hosts))]
	l.Job.Host = "p/" + host
	err := m.Hosts(l).Take(m.ctx, "p", host)
	if err == nil {
		m.hold(l.Job.Host, 1)
		return l, true
	}
	if !dispatch.IsHostFull(err) || m.state.Hosts[l.Job.Host].Open() {
		m.Fatalf("take a slot of %+v: %v", m.state.Hosts[l.Job.Host], err)
	}
	m.full++
	m.waiting = append(m.waiting, m.apply(l, job.YieldBy("a", "")))
	m.tenants[m.tenant(l.Job.Tenant)].Running--
	return l, false
}

func (m *fairModel) tenant(id string) int {
	return slices.IndexFunc(m.tenants, func(t admission.Share) bool { return t.Tenant == id })
}

// count makes the state of the decision out of all jobs that wait.
func (m *fairModel) count() admission.State {
	s := m.state
	s.Shares = slices.Clone(m.tenants)
	for _, j := range m.waiting {
		if h := s.Hosts[j.Host]; j.Host != "" && !h.Open() {
			continue
		}
		t := &s.Shares[m.tenant(j.Tenant)]
		r := admission.Ready{Seq: j.Seq, Class: j.Priority.Class(), Since: j.ReadyAt}
		if head := &t.Head[r.Class]; *head == 0 || r.Seq < *head {
			*head = r.Seq
		}
		if t.Oldest.Seq == 0 || r.Older(t.Oldest) {
			t.Oldest = r
		}
	}
	return s
}

func (m *fairModel) claim(n int) {
	leases, _ := m.claims("a", n)
	for k := range n {
		s := m.count()
		c, ok := m.policy.Next(&s, m.now())
		if !ok {
			if len(leases) != k {
				m.Fatalf("claimed %d jobs, want %d", len(leases), k)
			}
			break
		}
		if len(leases) <= k || leases[k].Job.Seq != c.Seq {
			m.Fatalf("claimed %+v, want number %d to be job %+v", leases, k, c)
		}
		m.policy.Take(&s, c)
		t, from := &m.tenants[c.Share], s.Shares[c.Share]
		t.Running, t.Served = from.Running, from.Served
		m.state.Turn, m.state.Virtual = s.Turn, s.Virtual
		if host := leases[k].Job.Host; host != "" {
			m.hold(host, 1)
			m.reserved++
		}
		m.waiting = slices.DeleteFunc(m.waiting, func(j job.Job) bool { return j.Seq == c.Seq })
		m.started++
		if c.Aged {
			m.aged++
		}
	}
	for _, l := range leases {
		if l, ok := m.read(l); ok {
			m.leases = append(m.leases, l)
		}
	}
}
