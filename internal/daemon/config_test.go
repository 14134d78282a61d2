package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

func none(string) (string, bool) { return "", false }

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigFileAndEnvironment(t *testing.T) {
	pw := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(pw, []byte("p@ss:w/rd#%\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := write(t, `
listen: 127.0.0.1:9000
state_dir: /srv/hx
workers: 3
queue:
  age_after: 2h
vsphere:
  url: https://vc.example.com/sdk
  username: svc@vsphere.local
  password_file: `+pw+`
  idle_timeout: 90s
`)
	c, err := Load(path, none, []string{"HYPERVISORD_WORKERS=7", "HYPERVISORD_LOG__LEVEL=debug", "HYPERVISORD_OUTPUT__ROOTS=/a,/b", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:9000" || c.Workers != 7 || c.Log.Level != "debug" || len(c.Output.Roots) != 2 || c.Queue != (QueueConfig{2 * time.Hour, 8}) || c.VSphere.IdleTimeout != 90*time.Second {
		t.Fatalf("%+v", c)
	}
	if got := c.VSphere.Password.Reveal(); got != "p@ss:w/rd#%" {
		t.Fatalf("password %q", got)
	}
	if shown := fmt.Sprintf("%+v %#v", c, c); strings.Contains(shown, "w/rd") {
		t.Fatal("the configuration shows its password")
	}
	if c.Auth.KeyFile != "/srv/hx/api.key" {
		t.Fatal(c.Auth.KeyFile)
	}
}

func TestGovcVariablesFillTheGaps(t *testing.T) {
	env := map[string]string{"GOVC_URL": "https://u:p%23w@vc/sdk", "GOVC_INSECURE": "1"}
	c, err := Load(write(t, "{}"), func(k string) (string, bool) { v, ok := env[k]; return v, ok }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.VSphere; v.URL != "https://vc/sdk" || v.Username != "u" || v.Password.Reveal() != "p#w" || !v.Insecure {
		t.Fatalf("%+v", v)
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	cases := map[string]struct {
		text string
		env  []string
		want string
	}{
		"unknown key":        {"listen: 127.0.0.1:1\nlisten_on: x\n", nil, "line 2"},
		"several at once":    {"workers: many\nlog:\n  colour: red\n", nil, "line 3"},
		"wrong type":         {"workers: [1]\n", nil, "line 1"},
		"open to the world":  {"listen: 0.0.0.0:80\nauth: {disabled: true}\n", nil, "loopback"},
		"no port":            {"listen: localhost\n", nil, "HOST:PORT"},
		"no workers":         {"workers: 0\n", nil, "workers"},
		"jobs for an hour":   {"retention:\n  jobs: 1h\n", nil, "retention.jobs"},
		"artifacts for 1d":   {"retention:\n  artifacts:\n    max_age: 1d\n", nil, "retention.artifacts.max_age"},
		"an age in years":    {"retention:\n  jobs: 1y\n", nil, "line 2"},
		"a negative count":   {"retention:\n  artifacts:\n    max_count_per_vm: -1\n", nil, "max_count_per_vm"},
		"least workers only": {"min_workers: 2\n", nil, "min_workers"},
		"least above most":   {"min_workers: 4\nmax_workers: 3\n", nil, "min_workers"},
		"too many workers":   {"min_workers: 4\nmax_workers: 1000\n", nil, "min_workers"},
		"relative root":      {"output: {roots: [exports]}\n", nil, "absolute"},
		"unknown variable":   {"{}", []string{"HYPERVISORD_LOG__COLOUR=red"}, "HYPERVISORD_LOG__COLOUR"},
		"section as a value": {"{}", []string{"HYPERVISORD_LOG=red"}, "HYPERVISORD_LOG"},
		"variable's type":    {"{}", []string{"HYPERVISORD_WORKERS=p4ss"}, "HYPERVISORD_WORKERS"},
		"another database":   {"store: mysql://u:p4ss@h/db\n", nil, "store"},
		"two documents":      {"workers: 1\n---\nworkers: 2\n", nil, "not valid"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, c.text), none, c.env)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "p4ss") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestMissingFileIsAnErrorOnlyIfNamed(t *testing.T) {
	if _, err := Load("/nonexistent/config.yaml", none, nil); !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
}

// TestTheExampleHasEveryKey: the documented file loads, and names every key that
// there is.
func TestTheExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../examples/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pw := write(t, "secret")
	example := strings.ReplaceAll(string(text), "/etc/hypersdk/vcenter.password", pw)
	c, err := Load(write(t, example), none, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		key, _, found := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "password", "insecure": // exist, but are not what we recommend
			continue
		}
		if strings.HasPrefix(key, "- ") {
			continue // an item of a list
		}
		if found && !strings.Contains(example, key+":") {
			t.Errorf("the example lacks %s", key)
		}
	}
}

func TestTheExampleJobsAreValid(t *testing.T) {
	text, err := os.ReadFile("../../examples/jobs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	specs, err := job.DecodeSpecs(text, "application/yaml")
	if err != nil || len(specs) != 2 {
		t.Fatal(len(specs), err)
	}
}
