package daemon

import (
	"os"
	"strings"
	"testing"
)

// TestFirstKey: the start that makes the API key has it to show, and its log has not;
// the next start has nothing.
func TestFirstKey(t *testing.T) {
	t.Parallel()
	o := newObserved(t, func(c *Config) {
		c.Auth.Disabled = false
		c.Auth.KeyFile = t.TempDir() + "/api.key"
	})
	text, err := os.ReadFile(o.cfg.Auth.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(string(text))
	if got := o.daemon.FirstKey().Reveal(); got != made || got == "" {
		t.Errorf("the file holds another key than is shown, or none: %d and %d bytes", len(made), len(got))
	}
	o.stop()
	o.start()
	if !o.daemon.FirstKey().Empty() {
		t.Error("the second start shows the key")
	}
	if len(o.log.with(made)) > 0 || len(o.log.with(o.cfg.Auth.KeyFile)) != 1 {
		t.Errorf("the log has the key, or does not say once where it is: %q", o.log.with(o.cfg.Auth.KeyFile))
	}
}
