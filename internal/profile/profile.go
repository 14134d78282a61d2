// Package profile holds named defaults for jobs: it reads them from YAML, and
// merges the profiles that one extends into one set of defaults.
package profile

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// MaxText is the largest profile in bytes.
const MaxText = 16 << 10

// The sources of profiles.
const (
	SourceFile   = "file"   // of the daemon's directory: for all tenants, read-only
	SourceTenant = "tenant" // stored by the API
)

// Profile is one named set of defaults. The zero UpdatedAt is unknown.
type Profile struct {
	ID          string // the file's name without .yaml
	Name        string // for people
	Description string
	Extends     string // id of the profile below it; empty: none
	Defaults    job.Spec
	Source      string
	Text        string // as it was written
	UpdatedAt   time.Time
	Problem     string // why a file is no profile; the rest is empty
}

// document is a profile's file.
type document struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Extends     string   `json:"extends"`
	Defaults    defaults `json:"defaults"`
}

// defaults are the keys of a job that a profile may give: those that say how, not
// what. The names and types are those of job.Spec.
type defaults struct {
	Provider          string            `json:"provider"`
	Format            string            `json:"format"`
	OutputPath        string            `json:"output_path"`
	Priority          job.Priority      `json:"priority"`
	Compress          *bool             `json:"compress"`
	Compression       string            `json:"compression"`
	CompressionLvl    int               `json:"compression_level"`
	Verify            string            `json:"verify"`
	Transport         string            `json:"transport"`
	ExcludeDisks      []string          `json:"exclude_disks"`
	MaxAttempts       int               `json:"max_attempts"`
	Timeout           string            `json:"timeout"`
	Labels            map[string]string `json:"labels"`
	BandwidthLimit    job.Bandwidth     `json:"bandwidth_limit"`
	BandwidthWindows  []string          `json:"bandwidth_windows"`
	EnableCheckpoints *bool             `json:"enable_checkpoints"`
	VerifyChecksum    *bool             `json:"verify_checksum"`
	GenerateManifest  *bool             `json:"generate_manifest"`
}

// hints tell why some keys of a job are none of a profile.
var hints = map[string]string{
	"vm_path":        "says which VM: it belongs to the job, not to a profile",
	"name":           "names one output: it belongs to the job, not to the defaults of a profile",
	"power_off":      "takes a machine down: it must be said in the job itself",
	"not_before":     "is a time: it belongs to the job, not to a profile",
	"profile":        "a profile builds on another one by extends, beside defaults",
	"profile_digest": "belongs to the job, not to a profile",
}

func (d *defaults) spec() job.Spec {
	var s job.Spec
	from, to := reflect.ValueOf(d).Elem(), reflect.ValueOf(&s).Elem()
	for i := range from.NumField() {
		to.FieldByName(from.Type().Field(i).Name).Set(from.Field(i))
	}
	return s
}

// maxID is how long a profile's id may be.
const maxID = 63

// CheckID refuses what is no id: 1 to 63 letters, digits, dots, dashes and
// underscores, a letter or a digit first. Kind Invalid.
func CheckID(id string) error {
	ok := id != "" && len(id) <= maxID && !strings.ContainsRune("._-", rune(id[0])) &&
		!strings.ContainsFunc(id, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
		})
	if ok {
		return nil
	}
	return fault.Newf(fault.Invalid, "HX-PROFILE-001", "an id has 1 to 63 letters, digits, dots, dashes and underscores, a letter or a digit first",
		"%.80q is no id of a profile", id)
}

// Parse reads a profile, YAML or JSON by the content type (see job.DecodeSpecs).
// It judges the profile for itself, not what it extends. Kinds: Invalid (it
// cannot be read; the message has the lines), Unprocessable (values).
func Parse(id string, text []byte, contentType string) (Profile, error) {
	if err := CheckID(id); err != nil {
		return Profile{}, err
	}
	if len(text) > MaxText {
		return Profile{}, fault.Newf(fault.Invalid, "HX-PROFILE-002", "a profile is a page of text", "the profile %s holds %d bytes; %d are allowed", id, len(text), MaxText)
	}
	var d document
	if err := job.Decode(text, contentType, &d, hints); err != nil {
		return Profile{}, fault.Wrap(err, fault.Invalid, "HX-PROFILE-003", "the profile "+id+" cannot be read: "+fault.As(err).Msg,
			"a profile has name, description, extends and defaults; see the user guide")
	}
	p := Profile{ID: id, Name: d.Name, Description: d.Description, Extends: d.Extends, Defaults: d.Defaults.spec(), Text: string(text)}
	if err := p.check(); err != nil {
		return Profile{}, err
	}
	return p, nil
}

const (
	maxName        = 255
	maxDescription = 4096
)

func (p *Profile) check() error {
	for _, f := range []struct {
		key, value string
		most       int
	}{{"name", p.Name, maxName}, {"description", p.Description, maxDescription}} {
		switch {
		case len(f.value) > f.most:
			return fault.Newf(fault.Unprocessable, "HX-PROFILE-004", "shorten it", "the profile %s: %s is longer than %d bytes", p.ID, f.key, f.most)
		case strings.ContainsFunc(f.value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
			return fault.Newf(fault.Unprocessable, "HX-PROFILE-004", "leave it out", "the profile %s: %s holds a control character", p.ID, f.key)
		}
	}
	if p.Extends != "" {
		if err := CheckID(p.Extends); err != nil {
			return fault.Newf(fault.Unprocessable, "HX-PROFILE-004", "name the id of a profile", "the profile %s: extends %.80q is no id of a profile", p.ID, p.Extends)
		}
	}
	return judge(p.ID, p.Defaults)
}

// judge refuses defaults that no job could have.
func judge(id string, s job.Spec) error {
	s = s.WithDefaults()
	s.VMPath = "any"
	if err := s.Validate(time.Time{}); err != nil {
		return fault.Wrap(err, fault.Unprocessable, "HX-PROFILE-005", "the profile "+id+": "+fault.As(err).Msg, "correct its defaults")
	}
	return nil
}

// Document is the type that a profile's file is decoded into.
func Document() reflect.Type { return reflect.TypeFor[document]() }
