package boot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// TestFirmware: a machine that starts by EFI gets the first OVMF that is whole, with
// variables of its own; where there is none, the error says what to install.
func TestFirmware(t *testing.T) {
	t.Parallel()
	dir, work := t.TempDir(), t.TempDir()
	path := func(name, text string) string {
		p := filepath.Join(dir, name)
		if text == "" {
			return p
		}
		if err := os.WriteFile(p, []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
		return p
	}
	none, half, whole := efi{path("none", ""), path("none", "")}, efi{path("code1", "c"), path("gone", "")}, efi{path("code2", "c"), path("vars2", "fresh")}
	for _, c := range []struct {
		name, firmware string
		known          []efi
		code           string
		args           int
	}{
		{"BIOS", "bios", nil, "", 0},
		{"not told, as by an older export", "", nil, "", 0},
		{"EFI", "efi", []efi{none, half, whole}, "", 4},
		{"EFI that is missing", "efi", []efi{none, half}, "HX-BOOT-005", 0},
	} {
		args, err := (&Boot{EFI: c.known}).firmware(c.firmware, work)
		if len(args) != c.args || c.code == "" && err != nil {
			t.Errorf("%s: %q, %v", c.name, args, err)
		}
		if c.code != "" && (!fault.Is(err, fault.Unprocessable) || fault.As(err).Code != c.code || !strings.Contains(err.Error(), "apt-get install ovmf")) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.args == 0 {
			continue
		}
		vars := filepath.Join(work, "efi-vars.fd")
		if err := os.WriteFile(vars, []byte("the guest's"), 0); err != nil {
			t.Errorf("%s: the variables cannot be written: %v", c.name, err)
		}
		if text, _ := os.ReadFile(whole.vars); string(text) != "fresh" || !strings.Contains(strings.Join(args, " "), "readonly=on,file="+whole.code) || !strings.Contains(args[3], vars) {
			t.Errorf("%s: %q", c.name, args)
		}
	}
}
