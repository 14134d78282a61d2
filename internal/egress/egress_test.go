package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inside are spellings of hosts that no tenant may reach. Some are no valid host
// for us, some are addresses, some are names for addresses in other resolvers.
var inside = strings.Fields(`
	127.0.0.1 127.0.0.2 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 0x7f.1 127.0.0.1.
	localhost LOCALHOST localhost. ip6-localhost localhost.localdomain 0 0.0.0.0 0.0.0.1 0x0 00000000
	[::1] [0:0:0:0:0:0:0:1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::127.0.0.1] [::ffff:0:127.0.0.1]
	[64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:a9fe:a9fe::1] [2001:0:7f00:1::]
	[fe80::1] [fe80::1%25lo] [fe80::1%25eth0] [::1%25lo] [fec0::1] [fc00::1] [fd00:ec2::254] [fd12:3456::1] [ff02::1] [ff05::2]
	[2001:db8::1] [3fff::1] [5f00::1] [100::1] [2001:10::1] [2001:20::1]
	10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 100.64.0.1 100.100.100.200 100.127.255.254
	169.254.169.254 169.254.170.2 169.254.0.1 0xa9fea9fe 2852039166 0251.0376.0251.0376 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
	168.63.129.16 [::ffff:168.63.129.16] [64:ff9b::168.63.129.16] 192.0.0.192 192.0.0.1 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
	224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 [::ffff:10.0.0.1] [::ffff:192.168.0.1]
`)

// TestNothingInsideIsReached: with each spelling and both schemes; a client without
// the guard reaches some of them.
func TestNothingInsideIsReached(t *testing.T) {
	t.Parallel()
	if len(inside) < 60 {
		t.Fatalf("the corpus holds %d spellings", len(inside))
	}
	var reached atomic.Int32
	s := listen(t, "127.0.0.1:0", &reached)
	port := s[strings.LastIndex(s, ":")+1:]
	safe, naive := Policy{Ports: everyPort()}.Client(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resolver := offline()
	safe.Transport.(*transport).secure = Policy{Ports: everyPort(), Resolver: resolver}.transport(false)
	safe.Transport.(*transport).plain = Policy{Ports: everyPort(), Resolver: resolver}.transport(true)
	for _, host := range inside {
		for _, scheme := range []string{"http", "https"} {
			err := ask(t.Context(), safe, scheme+"://"+host+":"+port+"/")
			if err == nil {
				t.Errorf("%s://%s was answered", scheme, host)
			}
			if _, err := netip.ParseAddr(strings.Trim(strings.SplitN(host, "%", 2)[0], "[]")); err == nil {
				if err := ask(t.Context(), safe, scheme+"://"+host+":"+port+"/"); !errors.Is(err, ErrBlocked) {
					t.Errorf("%s://%s: %v", scheme, host, err)
				}
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections came through", n)
	}
	_ = ask(t.Context(), naive, "http://127.0.0.1:"+port+"/")
	if reached.Load() == 0 {
		t.Error("the server cannot be reached at all: the test proves nothing")
	}
}

// everyPort allows the ports of the test servers, so that only the address counts.
func everyPort() (all []uint16) {
	for p := range 65535 {
		all = append(all, uint16(p+1))
	}
	return all
}

// offline knows localhost and nothing else.
func offline() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("offline") }}
}

func listen(t *testing.T, address string, reached *atomic.Int32) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "inside") }))
	_ = s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			reached.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func ask(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// TestWhatIsPublic asks the guard itself, for addresses that no test can call.
func TestWhatIsPublic(t *testing.T) {
	t.Parallel()
	private := Policy{Private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct {
		p             Policy
		address       string
		secure, plain bool
	}{
		{Policy{}, "93.184.216.34:443", true, false},
		{Policy{}, "[2606:2800:220:1::1]:8443", true, false},
		{Policy{}, "93.184.216.34:22", false, false},
		{Policy{}, "93.184.216.34:80", false, false},
		{Policy{Ports: []uint16{9000}}, "93.184.216.34:9000", true, false},
		{Policy{Ports: []uint16{}}, "93.184.216.34:443", false, false},
		{Policy{}, "168.63.129.16:443", false, false},
		{Policy{}, "10.1.2.3:443", false, false},
		{private, "10.1.2.3:443", true, true},
		{private, "10.1.2.3:22", true, true},
		{private, "[::ffff:10.1.2.3]:443", true, true},
		{private, "[fd00::1%eth0]:80", true, true},
		{private, "10.2.0.1:443", false, false},
		{private, "127.0.0.1:443", false, false},
		{private, "not an address", false, false},
	} {
		for plain, want := range map[bool]bool{false: c.secure, true: c.plain} {
			if got := c.p.guard(plain)("tcp4", c.address) == nil; got != want {
				t.Errorf("%s, plain %v: allowed %v", c.address, plain, got)
			}
		}
	}
	if private.guard(false)("udp4", "10.1.2.3:443") == nil {
		t.Error("udp")
	}
}

// rebinding is a name server that says public at first and then something inside.
type rebinding struct {
	asked atomic.Int32
	first [4]byte
	then  [4]byte
}

// conn answers in the process: each write is a question.
func (r *rebinding) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer func() { _ = theirs.Close() }()
		buf := make([]byte, 2048)
		n, err := io.ReadAtLeast(theirs, buf, 2)
		if err != nil {
			return
		}
		for n < 2+int(buf[0])<<8+int(buf[1]) {
			m, err := theirs.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
		}
		answer := r.answer(buf[2:n])
		_, _ = theirs.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...))
	}()
	return ours, nil
}

func (r *rebinding) answer(question []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	h.Response, h.RecursionAvailable = true, true
	b := dnsmessage.NewBuilder(nil, h)
	_ = b.StartQuestions()
	_ = b.Question(q)
	_ = b.StartAnswers()
	if q.Type == dnsmessage.TypeA {
		a := r.then
		if r.asked.Add(1) == 1 {
			a = r.first
		}
		_ = b.AResource(dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, dnsmessage.AResource{A: a}) // TTL 0
	}
	text, _ := b.Finish()
	return text
}

// TestRebinding: a name that was public when it was looked at leads inside when it
// is called. What counts is the address that is connected to.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	port := listen(t, "127.0.0.1:0", &reached)
	port = port[strings.LastIndex(port, ":")+1:]
	dns := &rebinding{first: [4]byte{93, 184, 216, 34}, then: [4]byte{127, 0, 0, 1}}
	resolver := &net.Resolver{PreferGo: true, Dial: dns.dial}
	ips, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	if err != nil || len(ips) != 1 || ips[0].IsLoopback() {
		t.Fatal(ips, err)
	}
	c := Policy{Ports: everyPort(), Resolver: resolver}.Client()
	for _, scheme := range []string{"http", "https"} {
		if err := ask(t.Context(), c, scheme+"://rebind.example.com:"+port+"/"); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	if dns.asked.Load() < 2 || reached.Load() != 0 {
		t.Errorf("asked %d times, reached %d times", dns.asked.Load(), reached.Load())
	}
	open := Policy{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Resolver: resolver}.Client()
	if err := ask(t.Context(), open, "http://rebind.example.com:"+port+"/"); err != nil || reached.Load() == 0 {
		t.Errorf("an allowed network: %v", err)
	}
}

// TestNoWayAround: no proxy of the environment, no redirect, no other scheme.
func TestNoWayAround(t *testing.T) {
	var proxied, reached atomic.Int32
	proxy := listen(t, "127.0.0.1:0", &proxied)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy)
	}
	private := Policy{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	_ = ask(t.Context(), Policy{Resolver: offline()}.Client(), "http://example.com/")
	_ = ask(t.Context(), Policy{Resolver: offline()}.Client(), "https://example.com/")
	inner := listen(t, "127.0.0.1:0", &reached)
	redirect := httptest.NewServer(http.RedirectHandler(inner, http.StatusTemporaryRedirect))
	defer redirect.Close()
	if err := ask(t.Context(), private.Client(), redirect.URL); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"file:///etc/passwd", "gopher://127.0.0.1/", "unix:///run/docker.sock"} {
		if ask(t.Context(), private.Client(), url) == nil {
			t.Errorf("%s was called", url)
		}
	}
	if proxied.Load() != 0 || reached.Load() != 0 {
		t.Errorf("proxy %d, redirect %d", proxied.Load(), reached.Load())
	}
}
