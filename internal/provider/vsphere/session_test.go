package vsphere_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
)

func tiny(path string) vcsim.VM {
	return vcsim.VM{Path: path, Disks: []vcsim.Disk{{Size: mib, Fill: data(9)}}}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: []vcsim.VM{tiny("a")}})
	good := config(t, s)
	for _, c := range []struct {
		name string
		edit func(*vsphere.Config)
		kind fault.Kind
		fix  string
	}{
		{name: "CA file", edit: func(*vsphere.Config) {}},
		{name: "SHA-1 thumbprint", edit: func(c *vsphere.Config) { c.CAFile, c.Thumbprint = "", s.Thumbprint() }},
		{name: "insecure", edit: func(c *vsphere.Config) { c.CAFile, c.Insecure = "", true }},
		{
			name: "unknown authority", edit: func(c *vsphere.Config) { c.CAFile = "" },
			kind: fault.Unprocessable, fix: "vsphere.thumbprint: ",
		},
		{
			name: "wrong thumbprint", edit: func(c *vsphere.Config) { c.Thumbprint = strings.Repeat("AB:", 31) + "AB" },
			kind: fault.Unprocessable, fix: "vsphere.thumbprint: ",
		},
		{
			name: "a wrong thumbprint is not overridden by insecure",
			edit: func(c *vsphere.Config) { c.Insecure, c.Thumbprint = true, strings.Repeat("00", 20) },
			kind: fault.Unprocessable, fix: "vsphere.thumbprint: ",
		},
		{
			name: "wrong password", edit: func(c *vsphere.Config) { c.Password = secret.New("geheim") },
			kind: fault.Unauthenticated, fix: "check the user",
		},
		{
			name: "no domain", edit: func(c *vsphere.Config) { c.Username = "administrator" },
			kind: fault.Unauthenticated, fix: "administrator@vsphere.local",
		},
		{
			name: "unknown host", edit: func(c *vsphere.Config) { c.URL = "https://vc.invalid/sdk" },
			kind: fault.Unavailable, fix: "DNS",
		},
		{
			name: "closed port", edit: func(c *vsphere.Config) { c.URL = "https://" + closedPort(t) },
			kind: fault.Unavailable, fix: "firewalls",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			c.edit(&cfg)
			err := connect(t, cfg, vsphere.Observer{}).Ping(t.Context())
			if c.fix == "" {
				if err != nil {
					t.Fatal(fault.Detail(err))
				}
				return
			}
			wantKind(t, err, c.kind)
			if fix := fault.As(err).Fix; !strings.Contains(fix, c.fix) {
				t.Errorf("the remedy is %q, it should say %q", fix, c.fix)
			}
			if strings.Contains(fault.Detail(err), "geheim") {
				t.Errorf("the error shows the password: %s", fault.Detail(err))
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestNotAVCenter(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	cfg := vsphere.Config{URL: s.URL, Username: "u", Insecure: true}
	wantKind(t, connect(t, cfg, vsphere.Observer{}).Ping(t.Context()), fault.Unavailable)
}

// A refused password is not tried again and again: that locks accounts.
func TestRefusedPasswordIsRemembered(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: []vcsim.VM{tiny("a")}})
	cfg := config(t, s)
	cfg.Password = secret.New("wrong")
	p := connect(t, cfg, vsphere.Observer{})
	for range 3 {
		wantKind(t, p.Ping(t.Context()), fault.Unauthenticated)
	}
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.SDK, Skip: 1})
	// Only the call that needs no login goes out; the login itself does not.
	wantKind(t, p.Ping(t.Context()), fault.Unauthenticated)
}

func TestExpiredSessionIsRenewed(t *testing.T) {
	t.Parallel()
	var relogins atomic.Int32
	s := start(t, vcsim.Options{VMs: []vcsim.VM{tiny("a"), tiny("b")}})
	p := connect(t, config(t, s), vsphere.Observer{Relogin: func() { relogins.Add(1) }})
	for range 3 {
		if _, err := p.Find(t.Context(), "a"); err != nil {
			t.Fatal(fault.Detail(err))
		}
		s.ExpireSessions()
	}
	if n := relogins.Load(); n != 2 {
		t.Errorf("logged in again %d times, want 2", n)
	}
}

// Every call of a discovery may be the one that meets the expired session.
func TestSessionExpiresInsideADiscovery(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: []vcsim.VM{tiny("a"), tiny("b")}})
	p := connect(t, config(t, s), vsphere.Observer{})
	for skip := range 4 {
		s.Faults().Add(vcsim.Fault{Kind: vcsim.ExpireSession, Transport: vcsim.SDK, Skip: skip, Times: 1})
		if vm, err := p.Find(t.Context(), "b"); err != nil || vm.Name != "b" {
			t.Errorf("expired at call %d: %v", skip, fault.Detail(err))
		}
		s.Faults().Clear()
	}
	if n := s.Faults().Fired(vcsim.ExpireSession); n != 4 {
		t.Errorf("%d of 4 faults struck", n)
	}
}

func TestOneUnavailableAnswerIsRetried(t *testing.T) {
	t.Parallel()
	var retries atomic.Int32
	s := start(t, vcsim.Options{VMs: []vcsim.VM{tiny("a")}})
	p := connect(t, config(t, s), vsphere.Observer{Retry: func(string) { retries.Add(1) }})
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.SDK, Times: 2})
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(fault.Detail(err))
	}
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.SDK})
	wantKind(t, p.Ping(t.Context()), fault.Unavailable)
	s.Faults().Clear()
	if retries.Load() < 4 {
		t.Errorf("%d retries", retries.Load())
	}
}

func TestCancelledWhileConnecting(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts, and never answers
	p := connect(t, vsphere.Config{URL: "https://" + l.Addr().String(), Username: "u"}, vsphere.Observer{})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- p.Ping(ctx) }()
	cancel()
	wantKind(t, <-result, fault.Cancelled)
}
