package daemon

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/telemetry"
)

func TestStoreURL(t *testing.T) {
	pw := write(t, "s3cret\n")
	c, err := Load(write(t, "state_dir: /srv/hx\nstore: postgres://hx:hunter2@db.example.com/hx?sslmode=verify-full&sslpassword=hunter2\nstore_password_file: "+pw+"\n"), none, nil)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	log, _, err := telemetry.NewLogger(&logged, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("ready", "store", c.Store)
	for _, text := range []string{string(shown), fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Store), logged.String()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "s3cret") {
			t.Errorf("a password shows:\n%s", text)
		}
	}
	if !strings.Contains(string(shown), "db.example.com/hx") || !strings.Contains(logged.String(), "db.example.com/hx") {
		t.Errorf("the database does not show:\n%s%s", shown, logged.String())
	}
	o, err := c.Postgres()
	if err != nil || o.Password.Reveal() != "s3cret" || !strings.Contains(o.URL.Reveal(), "hunter2") {
		t.Errorf("the store gets %q, %v", o.Password.Reveal(), err)
	}
	c, err = Load(write(t, "store: sqlite\n"), none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := c.Postgres(); err != nil || !o.URL.Empty() || c.Store.String() != sqlite || DefaultConfig().Store.String() != sqlite {
		t.Errorf("sqlite is %v, %v", o, err)
	}
}
