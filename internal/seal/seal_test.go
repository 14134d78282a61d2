package seal

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestSealAndOpen(t *testing.T) {
	k, err := New(make([]byte, keySize))
	if err != nil {
		t.Fatal(err)
	}
	box := k.Seal([]byte("canary"), "a")
	if bytes.Contains(box, []byte("canary")) || bytes.Equal(box, k.Seal([]byte("canary"), "a")) {
		t.Errorf("%q", box)
	}
	if plain, err := k.Open(box, "a"); err != nil || string(plain) != "canary" {
		t.Errorf("%q %v", plain, err)
	}
	if _, err := k.Open(box, "b"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("it belongs to something else: %v", err)
	}
	for i := range box {
		bent := bytes.Clone(box)
		bent[i] ^= 1
		if _, err := k.Open(bent, "a"); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := k.Open(box[:i], "a"); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := New(make([]byte, 16)); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

// TestLoad: made once, mode 0600, the same for all who come at the same moment.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.key")
	keys := make([]*Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := Load(path)
			if err != nil {
				t.Error(fault.Detail(err))
				return
			}
			keys[i] = k
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, k := range keys {
		if k.ID() != keys[0].ID() {
			t.Errorf("%s and %s", k.ID(), keys[0].ID())
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
	for _, text := range []string{"", "x", "AAAA", string(bytes.Repeat([]byte("A"), 1<<16))} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	if _, err := Load(filepath.Join(path, "below")); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}
