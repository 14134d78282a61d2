package vcsim_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

func TestLogin(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	for _, user := range []*url.Userinfo{
		url.UserPassword(s.Username(), "wrong"),
		url.UserPassword("administrator", s.Password()),
		url.UserPassword(s.Username(), ""),
	} {
		if err := connect(t, s).Login(t.Context(), user); !fault.Is(err, &types.InvalidLogin{}) {
			t.Errorf("login as %v: %v, want InvalidLogin", user, err)
		}
	}
	c := login(t, s)
	machine(t, c, "/DC/vm/vm-a")
	if err := c.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestNoSession(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := connect(t, s)
	if _, err := find.NewFinder(c.Client).VirtualMachine(t.Context(), "/DC/vm/vm-a"); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("inventory without a session: %v", err)
	}
}

func TestExpiredSession(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	snapshot(t, vm, "x")
	u := flatURL(s, backing(t, properties(t, vm).Config, 2000))
	if res, _ := get(t, c, http.MethodHead, u, ""); res.StatusCode != http.StatusOK {
		t.Fatalf("before: %s", res.Status)
	}
	s.ExpireSessions()
	if res, _ := get(t, c, http.MethodHead, u, ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("/folder after expiry: %s", res.Status)
	}
	if _, err := vm.PowerState(t.Context()); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("SOAP after expiry: %v", err)
	}
	if err := c.Login(t.Context(), url.UserPassword(s.Username(), s.Password())); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, c, http.MethodHead, u, ""); res.StatusCode != http.StatusOK {
		t.Errorf("/folder after a new login: %s", res.Status)
	}
}

func TestSessionExpiresWhenIdle(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one(), SessionIdle: time.Nanosecond})
	c := login(t, s)
	if _, err := c.SessionManager.UserSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := find.NewFinder(c.Client).VirtualMachine(t.Context(), "/DC/vm/vm-a"); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("after the idle time: %v", err)
	}
}

func TestSessionExpiresAfterRequests(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	s.Faults().Add(vcsim.Fault{Kind: vcsim.ExpireSession, Transport: vcsim.SDK, Skip: 2, Times: 1})
	for i := range 2 {
		if _, err := vm.PowerState(t.Context()); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if _, err := vm.PowerState(t.Context()); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("third call: %v", err)
	}
	if n := s.Faults().Fired(vcsim.ExpireSession); n != 1 {
		t.Errorf("fired %d times", n)
	}
}

// The certificate that the server gives out verifies the vCenter, and does not
// verify the ESXi host.
func TestCertificates(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CACert()) {
		t.Fatal("no certificate")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	_, info := export(t, login(t, s))
	for u, trusted := range map[string]bool{"https://" + s.URL().Host + "/about": true, info.DeviceUrl[0].Url: false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("%s: %v", u, err)
		}
	}
}
