package daemon

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

var sourceBytes = regexp.MustCompile(`(?m)^hypervisord_bytes_total\{direction="source"\} (\S+)$`)

// read is how many bytes came from vCenter.
func (o *observed) read() float64 {
	o.Helper()
	_, text := o.ask("GET", "/metrics", "")
	hit := sourceBytes.FindStringSubmatch(text)
	if hit == nil {
		o.Fatal("no bytes in the metrics")
	}
	n, err := strconv.ParseFloat(hit[1], 64)
	if err != nil {
		o.Fatal(err)
	}
	return n
}

func (o *observed) probe(path string, want int) (text string) {
	o.Helper()
	o.eventually(fmt.Sprintf("%s answers %d", path, want), func() bool {
		var status int
		status, text = o.ask("GET", path, "")
		return status == want
	})
	return text
}

// TestDatabaseOutage: while the database is away, or takes no changes, the daemon
// says that it is not ready, and that it lives; a transfer goes on meanwhile, and
// everything comes back by itself.
func TestDatabaseOutage(t *testing.T) {
	db, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := db.URL(t)
	o := newObserved(t, func(c *Config) {
		c.BandwidthLimit = "4MB"
		if err := c.Store.UnmarshalText([]byte(url)); err != nil {
			t.Fatal(err)
		}
	})
	o.probe("/startupz", 200)
	o.probe("/readyz", 200)
	id := o.submit("{vm_path: /DC/vm/web-01, format: raw}")
	o.eventually("it copies", func() bool { return o.read() > 0 })

	if err := db.Down(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if text := o.probe("/readyz", 503); !strings.Contains(text, "[-] database: unhealthy") {
		t.Error(text)
	}
	o.probe("/health", 503)
	o.probe("/livez", 200)
	o.probe("/startupz", 200)
	before := o.read()
	o.eventually("the transfer goes on", func() bool { return o.read() > before+1e6 })
	o.probe("/readyz", 503) // still
	if err := db.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.probe("/readyz", 200)
	if j := o.end(id, client.Completed); j.Attempt != 1 {
		t.Errorf("it took %d attempts", j.Attempt)
	}

	// A database that can be read but not written is not ready, either.
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	readOnly := func(value string) {
		t.Helper()
		for _, sql := range []string{"SET default_transaction_read_only = off", "ALTER SYSTEM SET default_transaction_read_only = " + value, "SELECT pg_reload_conf()"} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	readOnly("on")
	if text := o.probe("/readyz", 503); !strings.Contains(text, "[-] database: unhealthy") {
		t.Error(text)
	}
	if status, _ := o.ask("GET", "/jobs/"+id, ""); status != 200 {
		t.Errorf("reading: %d", status)
	}
	readOnly("off")
	o.probe("/readyz", 200)
}
