package daemon

import (
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/store"
)

// TestWitness: a node starts on the log that it knows and on its continuation, and
// not on an old copy of it, or on another one.
func TestWitness(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	open := func(dir string, entries int, note bool) error {
		t.Helper()
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Synchronous: store.Off})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		e := &Engine{store: s, key: key, log: slog.New(slog.DiscardHandler)}
		if err := e.openAudit(t.Context(), "n1", state); err != nil {
			return err
		}
		for range entries {
			if err := s.AppendRefusals(t.Context(), []event.Refusal{{Actor: "a", Operation: "enter", Count: 1}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Sequence(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if note {
			e.witness.note(t.Context(), e.log)
		}
		return nil
	}
	first, other := t.TempDir(), t.TempDir()
	for _, c := range []struct {
		what    string
		dir     string
		entries int
		note    bool
		refused bool
	}{
		{"a new log", first, 3, true, false},
		{"its continuation", first, 2, false, false},
		{"a shorter log", other, 0, false, true},
		{"the longer log again", first, 1, true, false},
	} {
		if err := open(c.dir, c.entries, c.note); fault.Is(err, fault.Corrupt) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(state, witnessFile))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := audit.Keys{key.Public().(ed25519.PublicKey)}.Open(string(text))
	if err != nil || kept.Size != 6 {
		t.Errorf("%d entries are kept, %v", kept.Size, err)
	}
}
