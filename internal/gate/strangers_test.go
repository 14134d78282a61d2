package gate_test

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
)

func stranger(g *gate.Gate, peer string, forwarded ...string) (gate.Allowance, error) {
	r := httptest.NewRequest(http.MethodGet, "/health", http.NoBody)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = forwarded
	return g.Stranger(r)
}

func TestStrangersAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(who{}, nil).Behind(proxies("10.0.0.0/8"), nil)
		g.LimitStrangers(60, 3, proxies("192.0.2.0/24", "127.0.0.0/8"), nil)
		spend := func(most int, peer string, forwarded ...string) (n int) {
			for n < 100 {
				a, err := stranger(g, peer, forwarded...)
				if err != nil {
					if !fault.Is(err, fault.Exhausted) || a.Remaining != 0 || a.Reset != time.Second || a.Policy != "anonymous" || a.Limit != 60 {
						t.Fatal(err, a)
					}
					return n
				}
				if n++; a.Limit > 0 && a.Remaining != int64(most-n) {
					t.Fatalf("after %d: %+v", n, a)
				}
			}
			return n
		}
		for _, c := range []struct {
			name      string
			peer      string
			forwarded []string
			want      int
		}{
			{"a client", "198.51.100.1:9", nil, 3},
			{"the same by a proxy", "10.0.0.1:9", []string{"198.51.100.1"}, 0},
			{"another, who names addresses", "198.51.100.2:9", []string{"192.0.2.1"}, 3},
			{"the same, who names others", "198.51.100.2:9", []string{"127.0.0.1"}, 0},
			{"in front of what the proxy says", "10.0.0.1:9", []string{"127.0.0.1, 198.51.100.2"}, 0},
			{"one /64", "[2001:db8::1]:9", nil, 3},
			{"its other end", "[2001:db8::ffff]:9", nil, 0},
			{"a probe", "192.0.2.7:9", nil, 100},
			{"a probe by a proxy", "10.0.0.1:9", []string{"192.0.2.8"}, 100},
			{"a probe, by IPv6", "[::ffff:192.0.2.7]:9", nil, 100},
			{"no address", "@", nil, 3},
		} {
			if n := spend(c.want, c.peer, c.forwarded...); n != c.want {
				t.Errorf("%s: %d calls, want %d", c.name, n, c.want)
			}
		}
		time.Sleep(time.Second)
		if n := spend(1, "198.51.100.1:9"); n != 1 {
			t.Errorf("after a second: %d", n)
		}
		counts := map[string][3]int64{}
		g.Counts(func(limit string, allowed, refused int64, buckets int) {
			counts[limit] = [3]int64{allowed, refused, int64(buckets)}
		})
		if want := [3]int64{3*4 + 300 + 1, 9, 4}; counts["anonymous"] != want || len(counts) != 2 {
			t.Errorf("%v, want %v", counts, want)
		}
	})
}

func TestStrikesTellHowMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(who{fault.New(fault.Unauthenticated, "HX-X-001", "no", "")}, nil).Behind(nil, nil)
		r := httptest.NewRequest(http.MethodGet, "/jobs", http.NoBody)
		for n := range 40 {
			_, err := g.Enter(r, "rest")
			a := g.Strikes(r)
			if left := int64(max(0, 29-n)); a.Remaining != left || a.Policy != "credentials" || (fault.As(err).Code == gate.CodeGuessed) != (n >= 30) {
				t.Fatalf("after %d: %+v, %v", n+1, a, err)
			}
		}
	})
}

// A million addresses take the memory of the buckets that are kept.
func TestMillionStrangers(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector")
	}
	g := gate.New(who{}, nil).Behind(nil, nil)
	g.LimitStrangers(1, 1, nil, nil)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	for i := range uint32(1_000_000) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x20000000+i)
		r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4(a), 9).String()
		if _, err := g.Stranger(r); err != nil {
			t.Fatal(err)
		}
	}
	kept := int64(heap()) - int64(before)
	t.Logf("1,000,000 addresses keep %d KiB of heap", kept>>10)
	if kept > 32<<20 {
		t.Errorf("%d bytes", kept)
	}
	g.Counts(func(limit string, _, _ int64, buckets int) {
		if limit == "anonymous" && buckets != 1<<16 {
			t.Errorf("%d buckets", buckets)
		}
	})
	runtime.KeepAlive(g)
}
