package gate_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

type who struct{ err error }

func (w who) Authenticate(*http.Request) (tenant.Principal, error) {
	return tenant.NewPrincipal("a", "key:x", tenant.JobRead), w.err
}

func TestEnterTellsWhereACallComesFrom(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, c := range []struct{ peer, header, ip, traced string }{
		{"192.0.2.7:4711", parent, "192.0.2.7", parent},
		{"[2001:db8::7]:4711", "00-ABC\nlevel=ERROR", "2001:db8::7", ""},
		{"@", "", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/jobs", http.NoBody)
		r = r.WithContext(gate.WithRequestID(r.Context(), "r1"))
		r.RemoteAddr = c.peer
		r.Header["Traceparent"] = []string{c.header}
		p, err := gate.New(who{}, nil).Enter(r, "rest")
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Scope(tenant.JobRead)
		if want := (tenant.Origin{IP: c.ip, Door: "rest", RequestID: "r1", TraceParent: c.traced}); err != nil || s.Origin() != want {
			t.Errorf("%s: origin %+v, %v; want %+v", c.peer, s.Origin(), err, want)
		}
	}
}

func TestNobodyEntersWithoutACredential(t *testing.T) {
	t.Parallel()
	g := gate.New(who{fault.New(fault.Unauthenticated, "HX-X-001", "no", "")}, nil)
	p, err := g.Enter(httptest.NewRequest(http.MethodGet, "/jobs", http.NoBody), "rest")
	if _, denied := p.Scope(tenant.JobRead); !fault.Is(err, fault.Unauthenticated) || denied == nil {
		t.Errorf("got in: %v", err)
	}
}

func TestAllowanceHeaders(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	gate.Allowance{}.Set(h)
	if len(h) != 0 {
		t.Errorf("no limit, but %v", h)
	}
	gate.Allowance{Policy: "submit_jobs", Limit: 10, Window: time.Minute, Remaining: 3, Reset: 1500 * time.Millisecond}.Set(h)
	if p, l := h.Get("Ratelimit-Policy"), h.Get("Ratelimit"); p != `"submit_jobs";q=10;w=60` || l != `"submit_jobs";r=3;t=2` {
		t.Errorf("%q, %q", p, l)
	}
}
