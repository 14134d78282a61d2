package job

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Step is one step of a workflow. Which keys a step takes depends on its type:
// see stepTypes.
type Step struct {
	ID        string       `json:"id"`
	Type      string       `json:"type"`
	DependsOn Names        `json:"depends_on,omitempty"`
	When      When         `json:"when,omitempty"`    // success (default), failure, always
	Input     Ref          `json:"input,omitempty"`   // $id.output
	Retry     *RetryPolicy `json:"retry,omitempty"`   // of what may pass
	Timeout   string       `json:"timeout,omitempty"` // of one attempt; Go duration

	Name           string   `json:"name,omitempty"` // of the output
	VMPath         string   `json:"vm_path,omitempty"`
	Provider       string   `json:"provider,omitempty"`
	Format         string   `json:"format,omitempty"`
	OutputPath     string   `json:"output_path,omitempty"`
	Compress       *bool    `json:"compress,omitempty"`
	Compression    string   `json:"compression,omitempty"`
	CompressionLvl int      `json:"compression_level,omitempty"`
	Verify         string   `json:"verify,omitempty"`
	Transport      string   `json:"transport,omitempty"`
	ExcludeDisks   []string `json:"exclude_disks,omitempty"`
	PowerOff       bool     `json:"power_off,omitempty"`

	Profile           string    `json:"profile,omitempty"`            // export: named defaults; what is kept is the merged step
	ProfileDigest     string    `json:"profile_digest,omitempty"`     // of the profile as it was; given: the profile must still be that
	BandwidthLimit    Bandwidth `json:"bandwidth_limit,omitempty"`    // export: "50MB": bytes per second read from the source
	BandwidthWindows  []string  `json:"bandwidth_windows,omitempty"`  // export: "Mon-Fri 08:00-18:00 = 50MB"
	EnableCheckpoints *bool     `json:"enable_checkpoints,omitempty"` // export: default true
	VerifyChecksum    *bool     `json:"verify_checksum,omitempty"`    // export: true: verify full, false: verify none
	GenerateManifest  *bool     `json:"generate_manifest,omitempty"`  // export: a manifest of checksums

	TargetFormat string `json:"target_format,omitempty"` // convert, hyper2kvm: qcow2, raw, vmdk
	Engine       string `json:"engine,omitempty"`        // hyper2kvm: which program
	Destination  string `json:"destination,omitempty"`   // upload: s3://bucket/prefix, file:///directory
	Overwrite    bool   `json:"overwrite,omitempty"`     // upload to s3: replace objects
	URL          string `json:"url,omitempty"`           // webhook
	Message      string `json:"message,omitempty"`       // webhook

	Marker string `json:"marker,omitempty"` // boot: what the guest prints when it is up

	at map[string]pos // where the step and its keys stand in the document, if it was one
}

// Names are the ids of steps; a document may hold a single one as a text.
type Names []string

// When says for which end of the steps before it a step runs.
type When string

// The conditions.
const (
	OnSuccess When = "success" // all of depends_on completed
	OnFailure When = "failure" // one of depends_on failed, or was not run because of a failure
	Always    When = "always"  // all of depends_on ended
)

// Ref is a reference to what another step made: $id.output.
type Ref string

// Step returns the id of the step that is referred to, "" if the reference is
// malformed.
func (r Ref) Step() string {
	id, ok := strings.CutPrefix(string(r), "$")
	if !ok {
		return ""
	}
	id, ok = strings.CutSuffix(id, ".output")
	if !ok || !isStepID(id) {
		return ""
	}
	return id
}

// RetryPolicy says how often a step is tried whose failure may pass.
type RetryPolicy struct {
	MaxAttempts int    `json:"max_attempts,omitempty"` // default 3
	Backoff     string `json:"backoff,omitempty"`      // pause after the first attempt, doubled each time; default 5s
	MaxBackoff  string `json:"max_backoff,omitempty"`  // the longest pause; default 5m
}

// Defaults of a step's retries.
const (
	defaultBackoff    = 5 * time.Second
	defaultMaxBackoff = 5 * time.Minute
	maxBackoff        = time.Hour
)

// Attempts is how often the step is tried.
func (s *Step) Attempts() int {
	if s.Retry == nil {
		return DefaultMaxAttempts
	}
	return cmp.Or(s.Retry.MaxAttempts, DefaultMaxAttempts)
}

// Pause is the longest pause after an attempt (from 1) of a valid step.
func (s *Step) Pause(attempt int) time.Duration {
	pause, longest := defaultBackoff, defaultMaxBackoff
	if s.Retry != nil {
		if d, err := time.ParseDuration(s.Retry.Backoff); err == nil {
			pause = d
		}
		if d, err := time.ParseDuration(s.Retry.MaxBackoff); err == nil {
			longest = d
		}
	}
	for range attempt - 1 {
		if pause >= longest {
			break
		}
		pause *= 2
	}
	return min(pause, longest)
}

// Shown returns the spec as it may be shown: the URL of a webhook is a secret,
// of which only the host is left.
func (s Spec) Shown() Spec {
	s.Jobs, s.Finally = shown(s.Jobs), shown(s.Finally)
	return s
}

func shown(steps []Step) []Step {
	out := make([]Step, len(steps))
	for i := range steps {
		out[i] = steps[i]
		if out[i].URL != "" {
			out[i].URL = ShownURL(out[i].URL)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// MapURLs returns the spec with fn applied to the URLs of its webhooks.
func (s Spec) MapURLs(fn func(string) string) Spec {
	s.Jobs, s.Finally = mapURLs(s.Jobs, fn), mapURLs(s.Finally, fn)
	return s
}

func mapURLs(steps []Step, fn func(string) string) []Step {
	if len(steps) == 0 {
		return steps
	}
	out := slices.Clone(steps)
	for i := range out {
		if out[i].URL != "" {
			out[i].URL = fn(out[i].URL)
		}
	}
	return out
}

// ShownURL leaves the scheme and the host of a URL.
func ShownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "[hidden]"
	}
	return u.Scheme + "://" + u.Host + "/[hidden]"
}
