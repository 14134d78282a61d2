package gate_test

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func caller(name string) tenant.Principal { return tenant.NewPrincipal("a", name, tenant.JobRead) }

func TestLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := gate.NewLimits(gate.Rates{PerMinute: 60, Burst: 10, Own: map[string]int{"/jobs/submit": 6}}, nil)
		if err := l.Assign(map[string]string{"submit_jobs": "POST /jobs/submit", "list_jobs": "GET /jobs", "get_vm": "GET /vms/{id}"}); err != nil {
			t.Fatal(err)
		}
		spend := func(who, operation string) (n int) {
			for {
				a, err := l.Take(caller(who), operation)
				if err != nil {
					if !fault.Is(err, fault.Exhausted) || a.Remaining != 0 || a.Reset <= 0 {
						t.Fatal(err, a)
					}
					return n
				}
				if n++; a.Remaining != int64(10-n) {
					t.Fatalf("after %d: %+v", n, a)
				}
			}
		}
		if n := spend("x", "list_jobs"); n != 10 {
			t.Errorf("burst of %d", n)
		}
		if n := spend("x", "get_vm"); n != 0 {
			t.Errorf("another operation gave %d turns", n)
		}
		if n := spend("x", "submit_jobs"); n != 10 {
			t.Errorf("an own limit gave %d turns", n)
		}
		if n := spend("y", "list_jobs"); n != 10 {
			t.Errorf("another caller had %d turns", n)
		}
		a, _ := l.Take(caller("x"), "submit_jobs")
		if a.Policy != "/jobs/submit" || a.Limit != 6 || a.Reset != 10*time.Second {
			t.Errorf("%+v", a)
		}
		time.Sleep(a.Reset - 1)
		if _, err := l.Take(caller("x"), "submit_jobs"); err == nil {
			t.Error("a turn came back too early")
		}
		time.Sleep(time.Nanosecond)
		if _, err := l.Take(caller("x"), "submit_jobs"); err != nil {
			t.Error("a turn did not come back in time")
		}
		if _, err := l.Take(caller("x"), "list_jobs"); err != nil {
			t.Error(err)
		}
	})
}

func TestLimitsNameEndpoints(t *testing.T) {
	t.Parallel()
	paths := map[string]string{"get_job": "GET /jobs/{id}", "update_job": "PATCH /jobs/{id}"}
	for name, want := range map[string]string{"/jobs/{id}": "", "PATCH /jobs/{id}": "", "get_job": "", "/job": "HX-GATE-004", "/jobs/": "HX-GATE-004"} {
		err := gate.NewLimits(gate.Rates{PerMinute: 1, Burst: 1, Own: map[string]int{name: 1}}, nil).Assign(paths)
		if got := err != nil; got != (want != "") || got && fault.As(err).Code != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := gate.NewLimits(gate.Rates{PerMinute: 1, Burst: 1, Own: map[string]int{"/jobs/{id}": 1, "get_job": 2}}, nil)
	if err := twice.Assign(paths); !fault.Is(err, fault.Invalid) {
		t.Error("an operation has two limits")
	}
}

func proxies(text ...string) (all gate.Proxies) {
	for _, s := range text {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func at(g *gate.Gate, peer string, forwarded ...string) (string, error) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = forwarded
	p, err := g.Enter(r, "rest")
	return p.Origin().IP, err
}

func TestNobodyForgesAnAddress(t *testing.T) {
	t.Parallel()
	g := gate.New(who{}, nil).Behind(proxies("10.0.0.0/8", "fd00::/8"), nil)
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:9", []string{"198.51.100.1"}, "192.0.2.1"},
		{"192.0.2.1:9", []string{"10.0.0.2"}, "192.0.2.1"},
		{"10.0.0.1:9", nil, "10.0.0.1"},
		{"10.0.0.1:9", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:9", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:9", []string{"1.1.1.1", "198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"10.0.0.1:9", []string{"198.51.100.1, evil, 10.9.9.9"}, "10.9.9.9"},
		{"10.0.0.1:9", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"10.0.0.1:9", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"10.0.0.1:9", []string{"::ffff:10.0.0.5, ::ffff:198.51.100.7"}, "198.51.100.7"},
		{"[fd00::1]:9", []string{"2001:db8::1%eth0"}, "2001:db8::1"},
		{"[::ffff:10.0.0.1]:9", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:9", []string{""}, "10.0.0.1"},
		{"10.0.0.1:9", []string{strings.Repeat("10.0.0.2,", 10_000) + "10.0.0.3"}, "10.0.0.2"},
		{"@", []string{"198.51.100.1"}, ""},
	} {
		if got, err := at(g, c.peer, c.forwarded...); got != c.want || err != nil {
			t.Errorf("%s %.60q: %q, %v; want %q", c.peer, c.forwarded, got, err, c.want)
		}
	}
}

// FuzzForwarded: what a client writes in front of what a trusted proxy appends does
// not matter.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "10.0.0.1", "1.1.1.1, 2.2.2.2", ",,", "::1%\x00", "[", "10.0.0.1:x"} {
		f.Add(s)
	}
	g := gate.New(who{}, nil).Behind(proxies("10.0.0.0/8"), nil)
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := at(g, "10.0.0.1:9", s, "198.51.100.1"); got != "198.51.100.1" || err != nil {
			t.Errorf("%q: %q, %v", s, got, err)
		}
		if got, _ := at(g, "192.0.2.1:9", s); got != "192.0.2.1" {
			t.Errorf("%q: %q", s, got)
		}
	})
}

func TestWhoGuessesIsTurnedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrong := who{fault.New(fault.Unauthenticated, "HX-X-001", "no", "")}
		g := gate.New(&wrong, nil).Behind(nil, nil)
		var codes []string
		for range 40 {
			_, err := at(g, "[2001:db8::1]:9")
			codes = append(codes, fault.As(err).Code)
		}
		if n := slices.Index(codes, "HX-GATE-002"); n != 30 {
			t.Fatalf("turned away after %d", n)
		}
		wrong.err = nil
		if _, err := at(g, "[2001:db8::ffff]:9"); !fault.Is(err, fault.Exhausted) {
			t.Error("the right key is told from a wrong one, or an address of the same network is free")
		}
		if _, err := at(g, "[2001:db8:0:1::1]:9"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for range 100 {
			if _, err := at(g, "[2001:db8::1]:9"); err != nil {
				t.Fatal("good credentials were counted", err)
			}
		}
	})
}

// A million addresses take the memory of the buckets that are kept.
func TestMillionAddresses(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector")
	}
	wrong := who{fault.New(fault.Unauthenticated, "HX-X-001", "no", "")}
	g := gate.New(wrong, nil).Behind(proxies("127.0.0.1/32"), nil)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = "127.0.0.1:1"
	for i := range uint32(1_000_000) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x20000000+i)
		r.Header["X-Forwarded-For"] = []string{netip.AddrFrom4(a).String()}
		if _, err := g.Enter(r, "rest"); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
	}
	kept := int64(heap()) - int64(before)
	t.Logf("1,000,000 addresses keep %d KiB of heap", kept>>10)
	if kept > 32<<20 {
		t.Errorf("%d bytes", kept)
	}
	runtime.KeepAlive(g)
}
