package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestValidate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	late := now.AddDate(2, 0, 0)
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint(i)] = ""
	}
	for _, c := range []struct {
		name  string
		edit  func(*Spec)
		words []string
	}{
		{"good", func(*Spec) {}, nil},
		{"unicode", func(s *Spec) { s.VMPath = "/DC/vm/Büro 東京" }, nil},
		{"no VM", func(s *Spec) { s.VMPath = "" }, []string{"vm_path is missing"}},
		{"NUL", func(s *Spec) { s.VMPath = "a\x00" }, []string{"vm_path", "control"}},
		{"newline in a name", func(s *Spec) { s.Name = "a\nb" }, []string{"name", "control"}},
		{"long path", func(s *Spec) { s.OutputPath = strings.Repeat("x", 5000) }, []string{"output_path", "longer"}},
		{"format", func(s *Spec) { s.Format = "vdi" }, []string{`format "vdi"`, "ova, ovf, vmdk, qcow2, raw"}},
		{"priority", func(s *Spec) { s.Priority = "urgent" }, []string{"priority", "critical, high, normal, low"}},
		{"compression", func(s *Spec) { s.Compression = "lzma" }, []string{"compression", "zlib, zstd"}},
		{"level", func(s *Spec) { s.CompressionLvl = -1 }, []string{"compression_level"}},
		{"verify", func(s *Spec) { s.Verify = "some" }, []string{"verify", "full, none"}},
		{"transport", func(s *Spec) { s.Transport = "ftp" }, []string{"transport"}},
		{"a billion attempts", func(s *Spec) { s.MaxAttempts = 1e9 }, []string{"max_attempts", "100"}},
		{"negative attempts", func(s *Spec) { s.MaxAttempts = -1 }, []string{"max_attempts"}},
		{"timeout", func(s *Spec) { s.Timeout = "soon" }, []string{"timeout", "90m"}},
		{"negative timeout", func(s *Spec) { s.Timeout = "-1h" }, []string{"timeout"}},
		{"endless timeout", func(s *Spec) { s.Timeout = "99999h" }, []string{"timeout"}},
		{"year 9999", func(s *Spec) { s.NotBefore = &late }, []string{"not_before"}},
		{"empty disk", func(s *Spec) { s.ExcludeDisks = []string{""} }, []string{"exclude_disks[0]"}},
		{"many disks", func(s *Spec) { s.ExcludeDisks = make([]string, 300) }, []string{"exclude_disks"}},
		{"many labels", func(s *Spec) { s.Labels = many }, []string{"labels"}},
		{"label key", func(s *Spec) { s.Labels = map[string]string{"a b": ""} }, []string{"label key"}},
		{"label value", func(s *Spec) { s.Labels = map[string]string{"a": "\x1b[2J"} }, []string{"labels.a"}},
		{"all at once", func(s *Spec) { s.VMPath, s.Format, s.Verify = "", "x", "y" }, []string{"vm_path", "format", "verify"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Spec{VMPath: "/DC/vm/web-01"}
			c.edit(&s)
			err := s.WithDefaults().Validate(now)
			if c.words == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !fault.Is(err, fault.Unprocessable) {
				t.Fatalf("got %v", err)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in %s", w, err)
				}
			}
		})
	}
}
