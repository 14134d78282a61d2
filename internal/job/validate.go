package job

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Limits of a spec's values.
const (
	maxPath      = 4096
	maxName      = 255
	maxLabels    = 64
	maxDisks     = 256
	maxAttempts  = 100
	maxTimeout   = 30 * 24 * time.Hour
	maxNotBefore = 366 * 24 * time.Hour
)

// Validate judges the values of a spec that has its defaults, as far as that is
// possible without the executor. Kind Unprocessable; the message lists all
// problems.
func (s Spec) Validate(now time.Time) error {
	if s.IsWorkflow() {
		return s.validateWorkflow(now)
	}
	p := s.problems(now)
	return p.err()
}

// problems is what Validate finds in an export.
func (s Spec) problems(now time.Time) (p problems) {
	p.name(s.Name)
	p.text("vm_path", s.VMPath, 1, maxPath)
	p.text("output_path", s.OutputPath, 0, maxPath)
	p.text("provider", s.Provider, 1, maxName)
	p.oneOf("format", s.Format, "ova", "ovf", "vmdk", "qcow2", "raw")
	p.oneOf("priority", string(s.Priority), strings.Split(PriorityNames(), ", ")...)
	p.oneOf("compression", s.Compression, "", "zlib", "zstd")
	p.oneOf("verify", s.Verify, "full", "none")
	p.oneOf("transport", s.Transport, "auto", "range", "nfc")
	p.between("compression_level", s.CompressionLvl, 0, 22)
	p.between("max_attempts", s.MaxAttempts, 1, maxAttempts)
	p.bandwidth(s)
	if s.VerifyChecksum != nil && *s.VerifyChecksum == (s.Verify == "none") {
		p.addf("verify_checksum %v contradicts verify %s", *s.VerifyChecksum, s.Verify)
	}
	p.text("profile", s.Profile, 0, maxName)
	p.text("profile_digest", s.ProfileDigest, 0, maxName)
	p.times(s, now)
	p.disks(s.ExcludeDisks)
	p.labels(s.Labels)
	return p
}

// ParseTimeout returns the time limit of one attempt, 0 for none.
func (s Spec) ParseTimeout() (time.Duration, error) {
	if s.Timeout == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s.Timeout)
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, fault.New(fault.Unprocessable, "HX-JOB-006",
			"timeout must be a duration such as 90m or 12h, at most 720h", "")
	}
	return d, nil
}

// problems gathers what is wrong with a spec.
type problems []string

func (p *problems) addf(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	return fault.New(fault.Unprocessable, "HX-JOB-005", strings.Join(*p, "; "), "correct the job and submit it again")
}

func (p *problems) text(name, value string, least, most int) {
	switch {
	case value == "" && least > 0:
		p.addf("%s is missing", name)
	case len(value) > most:
		p.addf("%s is longer than %d bytes", name, most)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		p.addf("%s holds a control character", name)
	}
}

// name checks the name of an output. It is made a file's name in any case; one
// that looks like a way out of the directory is a mistake or worse.
func (p *problems) name(value string) {
	p.text("name", value, 0, maxName)
	if slices.Contains(strings.FieldsFunc(value, func(r rune) bool { return r == '/' || r == '\\' }), "..") {
		p.addf("name holds the path element ..")
	}
}

func (p *problems) oneOf(name, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	allowed = slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
	p.addf("%s %.50q is not one of %s", name, value, strings.Join(allowed, ", "))
}

func (p *problems) between(name string, value, least, most int) {
	if value < least || value > most {
		p.addf("%s must be between %d and %d", name, least, most)
	}
}

func (p *problems) times(s Spec, now time.Time) {
	if _, err := s.ParseTimeout(); err != nil {
		p.addf("%s", fault.As(err).Msg)
	}
	if s.NotBefore != nil && s.NotBefore.Sub(now) > maxNotBefore {
		p.addf("not_before is more than a year ahead")
	}
}

func (p *problems) bandwidth(s Spec) {
	if _, err := s.Bandwidth(); err != nil {
		e := fault.As(err)
		p.addf("bandwidth: %s: %s", e.Msg, e.Fix)
	}
}

func (p *problems) disks(keys []string) {
	if len(keys) > maxDisks {
		p.addf("exclude_disks names more than %d disks", maxDisks)
		return
	}
	for i, key := range keys {
		p.text("exclude_disks["+itoa(i)+"]", key, 1, maxName)
	}
}

func (p *problems) labels(labels map[string]string) {
	if len(labels) > maxLabels {
		p.addf("labels holds more than %d entries", maxLabels)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if !isLabelKey(key) {
			p.addf("the label key %.70q is not 1 to 63 letters, digits, dots, dashes, slashes or underscores", key)
			continue
		}
		p.text("labels."+key, labels[key], 0, maxName)
	}
}

func isLabelKey(key string) bool {
	return key != "" && len(key) <= 63 && !strings.ContainsFunc(key, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-/", r)
	})
}
