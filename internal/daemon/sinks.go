package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/otlp"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/version"
)

const (
	// sinkEvery gathers what is logged in a burst.
	sinkEvery = 250 * time.Millisecond
	s3Every   = time.Minute
	// sinkLate is how far a sink may be behind before GET /health tells.
	sinkLate = 5 * time.Minute
)

// sinks makes the sinks of the audit log. They connect to nobody yet. Kind Invalid.
func (c *Config) sinks(ctx context.Context) ([]auditsink.Target, error) {
	all := make([]auditsink.Target, 0, len(c.Audit.Sinks))
	for i := range c.Audit.Sinks {
		s := &c.Audit.Sinks[i]
		t := auditsink.Target{Name: s.Name, Kind: s.kinds()[0], Every: sinkEvery}
		var err error
		switch {
		case s.File != nil:
			t.Sink = auditsink.NewFile(s.File.options())
		case s.Syslog != nil:
			t.Sink, err = s.Syslog.open()
		case s.OTLP != nil:
			t.Sink, err = s.OTLP.open(ctx)
		case s.S3 != nil:
			t.Every = cmp.Or(s.S3.Every, s3Every)
			t.Sink, err = s.S3.open(&c.S3)
		}
		if err != nil {
			return nil, fmt.Errorf("the audit sink %s: %w", s.Name, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func (c *SyslogSinkConfig) open() (auditsink.Sink, error) {
	t, err := otlp.ReadTLS(c.CAFile, c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	facility := c.Facility
	if facility == 0 {
		facility = 13
	}
	return auditsink.NewSyslog(auditsink.SyslogOptions{Address: c.Address, Form: cmp.Or(c.Format, auditsink.FormJSON), Facility: facility, TLS: t})
}

func (c *OTLPSinkConfig) open(ctx context.Context) (auditsink.Sink, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fault.New(fault.Invalid, "HX-CONF-040", "the endpoint is no URL", "correct it")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/logs"
	}
	o := otlp.Config{Endpoint: u, Gzip: true}
	if c.HeadersFile != "" {
		text, err := os.ReadFile(c.HeadersFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "HX-CONF-041", "headers_file cannot be read", "check the path and the file's permissions")
		}
		if o.Headers, err = otlp.ReadHeaders(strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ",")); err != nil {
			return nil, fault.New(fault.Invalid, "HX-CONF-041", "headers_file does not hold headers", "write KEY=VALUE, one a line")
		}
	}
	if o.TLS, err = otlp.ReadTLS(c.CAFile, c.CertFile, c.KeyFile); err != nil {
		return nil, err
	}
	who, err := telemetry.Resource(ctx, version.String())
	if err != nil {
		return nil, err
	}
	return auditsink.NewCollector(o, who), nil
}

func (c *S3SinkConfig) open(general *S3Config) (auditsink.Sink, error) {
	own := c.store(general)
	store, err := own.open()
	if err != nil {
		return nil, err
	}
	bucket, prefix := c.place()
	if err := store.Check(bucket, prefix); err != nil {
		return nil, err
	}
	return auditsink.NewBucket(store, bucket, prefix), nil
}

// ownSinks tells how far the sinks have the log that are configured here.
func (d *Daemon) ownSinks(ctx context.Context) ([]audit.Sink, error) {
	all, err := d.engine.store.Sinks(ctx)
	return slices.DeleteFunc(all, func(s audit.Sink) bool {
		return !slices.ContainsFunc(d.cfg.Audit.Sinks, func(c AuditSinkConfig) bool { return c.Name == s.Name })
	}), err
}

// auditState is for the metrics.
func (d *Daemon) auditState(ctx context.Context) (audit.State, []audit.Sink, error) {
	state, err := d.engine.store.AuditState(ctx)
	if err != nil || len(d.cfg.Audit.Sinks) == 0 {
		return state, nil, err
	}
	sinks, err := d.ownSinks(ctx)
	return state, sinks, err
}

func sinkNames(all []auditsink.Target) (names []string) {
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names
}

// checkSinks calls a sink that is far behind degraded. Nothing is lost: it gets
// everything once it takes it again.
func (d *Daemon) checkSinks(ctx context.Context) rest.Check {
	all, err := d.ownSinks(ctx)
	if err != nil {
		return bad(rest.Degraded, err)
	}
	c := rest.Check{Status: rest.Healthy}
	var said []string
	for _, s := range all {
		lag := s.Lag(time.Now())
		text := fmt.Sprintf("%s: %d entries behind", s.Name, s.Behind)
		if s.Behind > 0 {
			text += " for " + lag.Round(time.Second).String()
		}
		if s.Error != "" {
			text += ": " + s.Error
		}
		said = append(said, text)
		if lag > sinkLate {
			c.Status = rest.Degraded
		}
	}
	c.Message = strings.Join(said, "; ")
	return c
}
