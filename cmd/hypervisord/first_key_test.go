package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/internal/secret"
)

func TestAnnounce(t *testing.T) {
	key := secret.New("hvk_CANARY")
	for name, c := range map[string]struct {
		key      secret.Secret
		asked    bool
		out, log string
	}{
		"no terminal":  {key: key},
		"asked":        {key: key, asked: true, out: "hvk_CANARY\n"},
		"not made now": {asked: true},
	} {
		var out, log bytes.Buffer
		if err := announce(c.key, c.asked, &out, &log); err != nil || out.String() != c.out || log.String() != c.log {
			t.Errorf("%s: %q, %q, %v", name, &out, &log, err)
		}
	}

	journal, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = journal.Close() }()
	info, err := journal.Stat()
	if err != nil {
		t.Fatal(err)
	}
	of := info.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", of.Dev, of.Ino))
	refused := announce(key, true, journal, journal)
	if err := announce(key, false, journal, journal); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(journal.Name())
	if err != nil || refused == nil || len(text) > 0 {
		t.Errorf("the journal has %q; %v, %v", text, refused, err)
	}
}
