package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// handed is a directory of credentials as systemd makes it, and where to look for it.
func handed(t *testing.T, files map[string]string) (dir string, env func(string) (string, bool)) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		put(t, dir, name, text)
		if err := os.Chmod(filepath.Join(dir, name), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(name string) (string, bool) {
		if name != "CREDENTIALS_DIRECTORY" {
			return "", false
		}
		return dir, true
	}
}

// TestCredentials: a daemon whose every secret is a credential of systemd starts,
// serves, and makes no secret of its own.
func TestCredentials(t *testing.T) {
	dir, env := handed(t, map[string]string{
		"api.key": strings.Repeat("k", 40) + "\n", "secrets.key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
		"vcenter": "pass word\n", "s3-id": "ID\n", "s3-key": "canary-s3\n",
	})
	files := TLSConfig{CertFile: filepath.Join(t.TempDir(), "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	issue(t, files, 1)
	t.Setenv("CREDENTIALS_DIRECTORY", dir) // for the mode of the key's file
	state := filepath.Join(t.TempDir(), "state")
	cfg, err := Load(write(t, `
listen: 127.0.0.1:0
state_dir: `+state+`
secrets_key_file: credential:secrets.key
auth: {key_file: "credential:api.key"}
tls: {cert_file: `+files.CertFile+`, key_file: "credential:tls.key"}
vsphere: {username: u, password_file: "credential:vcenter"}
s3: {access_key_file: "credential:s3-id", secret_key_file: "credential:s3-key", roots: ["s3://bucket/a"], endpoint: "https://127.0.0.1:1"}
`), env, []string{"HYPERVISORD_PROFILES_DIR=" + state})
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.VSphere.Password.Reveal(); got != "pass word" {
		t.Errorf("the password of vCenter is %q", got)
	}
	d, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	key := filepath.Join(t.TempDir(), "api.key")
	put(t, filepath.Dir(key), "api.key", strings.Repeat("k", 40))
	c, err := console.Connect(d.URL(), key, files.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"secrets.key", "api.key"} {
		if _, err := os.Stat(filepath.Join(state, name)); err == nil {
			t.Errorf("%s was made beside the credential", name)
		}
	}
}

// TestCredentialOfTheDatabase: a whole URL, with the password in it, or that alone.
func TestCredentialOfTheDatabase(t *testing.T) {
	t.Parallel()
	_, env := handed(t, map[string]string{"db": "postgres://hx:canary-db@db.example.com/hx\n", "pw": "canary-pw\n"})
	c, err := Load(write(t, "store: credential:db\nstore_password_file: credential:pw\n"), env, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Postgres()
	if err != nil || o.URL.Reveal() != "postgres://hx:canary-db@db.example.com/hx" || o.Password.Reveal() != "canary-pw" {
		t.Errorf("%v %q %q", err, o.URL.Reveal(), o.Password.Reveal())
	}
	text, err := c.YAML()
	if shown := string(text) + fmt.Sprintf("%+v %#v", c, c); err != nil || strings.Contains(shown, "canary") {
		t.Errorf("it shows: %v %s", err, shown)
	}
}

// TestEveryFileMayBeACredential: each key that ends in _file.
func TestEveryFileMayBeACredential(t *testing.T) {
	t.Parallel()
	dir, env := handed(t, map[string]string{"it": "x"})
	for _, key := range []string{
		"store_password_file", "secrets_key_file", "auth.key_file", "vsphere.password_file", "vsphere.ca_file",
		"s3.access_key_file", "s3.secret_key_file", "s3.ca_file", "tls.cert_file", "tls.key_file",
	} {
		c := DefaultConfig()
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
		if err := overlay(&c, []string{name + "=credential:it"}); err != nil {
			t.Fatal(err)
		}
		if err := c.credentials(env); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if text, _ := c.YAML(); !strings.Contains(string(text), filepath.Join(dir, "it")) {
			t.Errorf("%s is not the credential's file", key)
		}
	}
}

// TestMissingCredentials: the error names the key, the credential and what to do.
func TestMissingCredentials(t *testing.T) {
	t.Parallel()
	dir, env := handed(t, map[string]string{"there": "x"})
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		env  func(string) (string, bool)
		code string
		want []string
	}{
		{"auth: {key_file: 'credential:there'}", env, "", nil},
		{"auth: {key_file: 'credential:nowhere'}", env, "HX-CONF-052", []string{"auth.key_file", "nowhere", "LoadCredential=nowhere:"}},
		{"vsphere: {password_file: 'credential:nowhere'}", none, "HX-CONF-051", []string{"vsphere.password_file", "CREDENTIALS_DIRECTORY", "LoadCredential=nowhere:"}},
		{"store: 'credential:nowhere'", env, "HX-CONF-052", []string{"store", "LoadCredential=nowhere:"}},
		{"tls: {key_file: 'credential:folder', cert_file: /x}", env, "HX-CONF-052", []string{"tls.key_file"}},
		{"s3: {secret_key_file: 'credential:../there'}", env, "HX-CONF-050", []string{"s3.secret_key_file"}},
		{"s3: {secret_key_file: 'credential:'}", env, "HX-CONF-050", []string{"s3.secret_key_file"}},
		{"s3: {secret_key_file: 'credential:a/b'}", env, "HX-CONF-050", []string{"s3.secret_key_file"}},
	} {
		_, err := Load(write(t, c.text+"\n"), c.env, nil)
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		e := fault.As(err)
		for _, want := range c.want {
			if e.Code != c.code || !fault.Is(err, fault.Invalid) || !strings.Contains(e.Msg+" "+e.Fix, want) {
				t.Errorf("%s: %s %s (%s) does not tell of %s", c.text, e.Code, e.Msg, e.Fix, want)
			}
		}
	}
}
