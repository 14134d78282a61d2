package job

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Limits of a step's values.
const (
	maxMessage = 4096
	maxURL     = 2048
)

// values judges the values of one step, as far as that is possible without its
// executor.
func (c *planChecker) values(s *Step, now time.Time) {
	c.keys(s)
	if s.Type == "export" {
		c.export(s, now)
	} else {
		var p problems
		p.name(s.Name)
		p.text("output_path", s.OutputPath, 0, maxPath)
		p.oneOf("verify", s.Verify, "", "full", "none")
		p.oneOf("compression", s.Compression, "", "zlib", "zstd")
		p.between("compression_level", s.CompressionLvl, 0, 22)
		p.timeout(s.Timeout)
		c.atKeys(s, p)
	}
	c.value(s, "target_format", func(p *problems) { p.oneOf("target_format", s.TargetFormat, "", "qcow2", "raw", "vmdk") })
	c.value(s, "engine", func(p *problems) { p.oneOf("engine", s.Engine, "", "hyper2kvm", "virt-v2v", "builtin") })
	c.value(s, "marker", func(p *problems) { p.text("marker", s.Marker, 0, maxName) })
	c.value(s, "destination", func(p *problems) { p.destination(s) })
	c.value(s, "url", func(p *problems) { p.url(s.URL) })
	c.value(s, "message", func(p *problems) { p.message(s.Message) })
	if s.Retry != nil {
		c.value(s, "retry.max_attempts", func(p *problems) { p.between("retry.max_attempts", s.Retry.MaxAttempts, 0, maxAttempts) })
		c.value(s, "retry.backoff", func(p *problems) { p.pause("retry.backoff", s.Retry.Backoff) })
		c.value(s, "retry.max_backoff", func(p *problems) { p.pause("retry.max_backoff", s.Retry.MaxBackoff) })
	}
}

// export judges what a step has in common with a job.
func (c *planChecker) export(s *Step, now time.Time) {
	spec := s.Export()
	spec.BandwidthLimit, spec.BandwidthWindows = "", nil
	c.atKeys(s, spec.problems(now))
	c.value(s, "bandwidth_limit", func(p *problems) { p.bandwidth(Spec{BandwidthLimit: s.BandwidthLimit}) })
	c.value(s, "bandwidth_windows", func(p *problems) { p.bandwidth(Spec{BandwidthWindows: s.BandwidthWindows}) })
}

// atKeys reports problems, each at the key that it begins with.
func (c *planChecker) atKeys(s *Step, all problems) {
	for _, what := range all {
		key := what
		if end := strings.IndexFunc(what, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }); end >= 0 {
			key = what[:end]
		}
		c.addf(codeValue, s, key, "%s", what)
	}
}

// value judges one value and reports at its key.
func (c *planChecker) value(s *Step, key string, judge func(p *problems)) {
	var p problems
	judge(&p)
	for _, what := range p {
		c.addf(codeValue, s, key, "%s", what)
	}
}

// keys reports what is missing, and what a step of this type does not have: a
// step that was decoded has none of those.
func (c *planChecker) keys(s *Step) {
	typ := stepTypes[s.Type]
	v := reflect.ValueOf(s).Elem()
	names := fieldNames(v.Type())
	for _, key := range typ.needs {
		if s.Type != "export" && v.Field(names[key]).IsZero() {
			c.addf(codeValue, s, "", "%s is missing", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if key != "" && !v.Field(names[key]).IsZero() && !takesKey(s.Type, key) {
			c.addf(codeValue, s, key, "%s has no key %s", stepNoun(s.Type), key)
		}
	}
}

func (p *problems) timeout(text string) {
	if _, err := (Spec{Timeout: text}).ParseTimeout(); err != nil {
		p.addf("%s", fault.As(err).Msg)
	}
}

func (p *problems) pause(name, text string) {
	if text == "" {
		return
	}
	if d, err := time.ParseDuration(text); err != nil || d <= 0 || d > maxBackoff {
		p.addf("%s must be a duration such as 10s or 5m, at most 1h", name)
	}
}

// message may hold line breaks.
func (p *problems) message(text string) {
	lines := slices.DeleteFunc([]byte(text), func(b byte) bool { return b == '\n' })
	p.text("message", string(lines), 0, maxMessage)
}

func (p *problems) url(text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL && (err != nil || len(text) > 2*maxURL || !strings.HasPrefix(u.Fragment, "sealed:")): // which is longer than what it hides
		p.addf("url is longer than %d bytes", maxURL)
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		p.addf("url is not of the form https://HOST/PATH") // its text may be a secret
	case u.User != nil:
		p.addf("url holds a user name or password")
	}
}

func (p *problems) destination(s *Step) {
	if s.Destination == "" {
		return
	}
	p.text("destination", s.Destination, 1, maxPath)
	u, err := url.Parse(s.Destination)
	switch {
	case err != nil, u.Scheme != "s3" && u.Scheme != "file", u.User != nil, u.RawQuery != "", u.Fragment != "":
		p.addf("destination must be s3://BUCKET/PREFIX or file:///DIRECTORY")
	case u.Scheme == "s3" && u.Host == "":
		p.addf("destination s3:// names no bucket")
	case u.Scheme == "file" && (u.Host != "" || len(u.Path) < 2):
		p.addf("destination file:// must name a directory by its whole path: file:///DIRECTORY")
	case u.Scheme == "file" && s.Overwrite:
		p.addf("overwrite is for s3:// only: a directory is never replaced")
	}
}
