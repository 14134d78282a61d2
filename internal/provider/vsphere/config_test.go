package vsphere_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/secret"
)

func env(pairs map[string]string) vsphere.Lookup {
	return func(key string) (string, bool) {
		v, ok := pairs[key]
		return v, ok
	}
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name               string
		env                map[string]string
		url, user, pw      string
		insecure, notValid bool
	}{
		{name: "nothing"},
		{name: "plain", env: map[string]string{"GOVC_URL": "vc.example.com", "GOVC_USERNAME": "u", "GOVC_PASSWORD": "p"}, url: "vc.example.com", user: "u", pw: "p"},
		{name: "user in the URL", env: map[string]string{"GOVC_URL": "https://root:secret@vc/sdk"}, url: "https://vc/sdk", user: "root", pw: "secret"},
		{name: "escaped", env: map[string]string{"GOVC_URL": "https://a%40b:p%3A%2F%23@vc"}, url: "https://vc", user: "a@b", pw: "p:/#"},
		{name: "not escaped", env: map[string]string{"GOVC_URL": "administrator@vsphere.local:p@ss/w#r%d?@vc:8443"}, url: "https://vc:8443", user: "administrator@vsphere.local", pw: "p@ss/w#r%d?"},
		{name: "user without password", env: map[string]string{"GOVC_URL": "u@vc", "GOVC_PASSWORD": "x"}, url: "https://vc", user: "u", pw: "x"},
		{name: "variables win", env: map[string]string{"GOVC_URL": "u:p@vc", "GOVC_USERNAME": "other", "GOVC_PASSWORD": "pw"}, url: "https://vc", user: "other", pw: "pw"},
		{name: "IPv6", env: map[string]string{"GOVC_URL": "https://u:p@[::1]:443/sdk"}, url: "https://[::1]:443/sdk", user: "u", pw: "p"},
		{name: "insecure 1", env: map[string]string{"GOVC_INSECURE": "1"}, insecure: true},
		{name: "insecure T", env: map[string]string{"GOVC_INSECURE": "T"}, insecure: true},
		{name: "insecure false", env: map[string]string{"GOVC_INSECURE": "false"}},
		{name: "insecure yes", env: map[string]string{"GOVC_INSECURE": "yes"}, notValid: true},
		{name: "no host", env: map[string]string{"GOVC_URL": "https://u:hidden@"}, notValid: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := vsphere.FromEnv(env(c.env))
			if c.notValid {
				wantKind(t, err, fault.Invalid)
				if strings.Contains(fault.Detail(err), "hidden") {
					t.Errorf("the error shows the password: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if cfg.URL != c.url || cfg.Username != c.user || cfg.Password.Reveal() != c.pw || cfg.Insecure != c.insecure {
				t.Errorf("got %q %q %q %v", cfg.URL, cfg.Username, cfg.Password.Reveal(), cfg.Insecure)
			}
		})
	}
}

func TestNewRefusesBadConfigurations(t *testing.T) {
	t.Parallel()
	good := vsphere.Config{URL: "vc.example.com", Username: "u@d", Password: secret.New("geheim")}
	if _, err := vsphere.New(good, nil, vsphere.Observer{}); err != nil {
		t.Fatalf("a good configuration is refused: %v", err)
	}
	for name, spoil := range map[string]func(*vsphere.Config){
		"no URL":         func(c *vsphere.Config) { c.URL = "" },
		"user in URL":    func(c *vsphere.Config) { c.URL = "https://u:geheim@vc" },
		"http":           func(c *vsphere.Config) { c.URL = "http://vc/sdk" },
		"bad URL":        func(c *vsphere.Config) { c.URL = "https://vc:port:geheim/sdk" },
		"no user":        func(c *vsphere.Config) { c.Username = "" },
		"no CA file":     func(c *vsphere.Config) { c.CAFile = "/does/not/exist" },
		"CA file is not": func(c *vsphere.Config) { c.CAFile = "config_test.go" },
		"thumbprint":     func(c *vsphere.Config) { c.Thumbprint = "AA:BB" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			spoil(&cfg)
			_, err := vsphere.New(cfg, nil, vsphere.Observer{})
			wantKind(t, err, fault.Invalid)
			if fault.As(err).Fix == "" {
				t.Error("the error has no remedy")
			}
			if strings.Contains(fault.Detail(err)+fmt.Sprintf("%+v", err), "geheim") {
				t.Errorf("the error shows the password: %s", fault.Detail(err))
			}
		})
	}
}

// Whatever GOVC_URL holds, its password does not stay in the URL.
func FuzzFromEnv(f *testing.F) {
	f.Add("https://user:pass@host/sdk")
	f.Add("user:p@ss:w/rd@host")
	f.Add("@")
	f.Add("://u:p@h")
	f.Fuzz(func(t *testing.T, raw string) {
		cfg, err := vsphere.FromEnv(env(map[string]string{"GOVC_URL": raw}))
		if err != nil {
			return
		}
		if !cfg.Password.Empty() && strings.Contains(cfg.URL, "@") {
			t.Errorf("%q keeps %q", raw, cfg.URL)
		}
		if cfg.Username == "" {
			cfg.Username = "u"
		}
		_, _ = vsphere.New(cfg, nil, vsphere.Observer{})
	})
}
