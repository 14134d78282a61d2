package daemon

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/limit"
)

// AuditConfig says where the audit log is carried to besides the database.
type AuditConfig struct {
	Sinks []AuditSinkConfig `yaml:"sinks"`
}

// AuditSinkConfig is one sink: a name and one of the others. The name is that of its
// place in the log: a sink with another one gets the log from its beginning.
type AuditSinkConfig struct {
	Name   string            `yaml:"name"`
	File   *FileSinkConfig   `yaml:"file,omitempty"`
	Syslog *SyslogSinkConfig `yaml:"syslog,omitempty"`
	OTLP   *OTLPSinkConfig   `yaml:"otlp,omitempty"`
	S3     *S3SinkConfig     `yaml:"s3,omitempty"`
}

// FileSinkConfig is a file with a line of JSON for each entry.
type FileSinkConfig struct {
	Path     string `yaml:"path"`
	MaxSize  Size   `yaml:"max_size,omitempty"`  // of one file; 0: 100MB
	MaxAge   Age    `yaml:"max_age,omitempty"`   // a new file in each such period, in UTC; 0: not by time
	MaxFiles int    `yaml:"max_files,omitempty"` // full ones that are kept; 0: 10
	Fsync    string `yaml:"fsync,omitempty"`     // always (default), never
}

// SyslogSinkConfig is a server that takes RFC 5424.
type SyslogSinkConfig struct {
	Address  string `yaml:"address"`            // tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH
	Format   string `yaml:"format,omitempty"`   // json (default), structured
	Facility int    `yaml:"facility,omitempty"` // 1 to 23; default 13, log audit
	CAFile   string `yaml:"ca_file,omitempty"`  // of tls: trusted instead of the system's
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// OTLPSinkConfig is a collector that takes OTLP over HTTP.
type OTLPSinkConfig struct {
	Endpoint    string `yaml:"endpoint"`               // https://HOST:4318/v1/logs
	HeadersFile string `yaml:"headers_file,omitempty"` // KEY=VALUE,…: secrets are in no configuration
	CAFile      string `yaml:"ca_file,omitempty"`      // trusted instead of the system's
	CertFile    string `yaml:"cert_file,omitempty"`
	KeyFile     string `yaml:"key_file,omitempty"`
}

// S3SinkConfig is an object store. With none of the keys below every the store and
// its credentials are those of s3.
type S3SinkConfig struct {
	Destination   string        `yaml:"destination"`     // s3://BUCKET[/PREFIX]
	Every         time.Duration `yaml:"every,omitempty"` // an object in so much time, unless it is full; default 1m
	Endpoint      string        `yaml:"endpoint,omitempty"`
	Region        string        `yaml:"region,omitempty"`
	AccessKeyFile string        `yaml:"access_key_file,omitempty"`
	SecretKeyFile string        `yaml:"secret_key_file,omitempty"`
	PathStyle     bool          `yaml:"path_style,omitempty"`
	CAFile        string        `yaml:"ca_file,omitempty"`
}

// Size is a number of bytes: 100MB, 64MiB, 4096.
type Size int64

// UnmarshalText reads 100MB, 64MiB or a plain number.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := limit.ParseRate(string(text))
	if err != nil {
		return fmt.Errorf("%.50q is no size", text)
	}
	*s = Size(n)
	return nil
}

// MarshalText writes the shortest form.
func (s Size) MarshalText() ([]byte, error) {
	if s == 0 {
		return []byte("0"), nil
	}
	return []byte(limit.Rate(s).String()), nil
}

// Defaults of a file.
const (
	fileSize  = 100_000_000
	fileCount = 10
	fsyncNone = "never"
)

// nameOfSink keeps names out of the way of metrics, logs and answers.
var nameOfSink = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?$`)

// maxSinks bounds the series of the metrics.
const maxSinks = 16

func (c *AuditConfig) check() (wrong []string) {
	if len(c.Sinks) > maxSinks {
		wrong = append(wrong, fmt.Sprintf("audit.sinks: at most %d", maxSinks))
	}
	names := map[string]bool{}
	for i := range c.Sinks {
		s := &c.Sinks[i]
		key := fmt.Sprintf("audit.sinks[%d]", i)
		if !nameOfSink.MatchString(s.Name) {
			wrong = append(wrong, key+".name: a to z, 0 to 9, - and _, 32 at most")
		} else if names[s.Name] {
			wrong = append(wrong, key+".name: "+s.Name+" is taken")
		}
		names[s.Name] = true
		wrong = append(wrong, s.check(key)...)
	}
	return wrong
}

// kinds are those that the sink has; one is right.
func (c *AuditSinkConfig) kinds() (all []string) {
	for _, k := range []struct {
		name string
		has  bool
	}{{"file", c.File != nil}, {"syslog", c.Syslog != nil}, {"otlp", c.OTLP != nil}, {"s3", c.S3 != nil}} {
		if k.has {
			all = append(all, k.name)
		}
	}
	return all
}

func (c *AuditSinkConfig) check(key string) []string {
	if len(c.kinds()) != 1 {
		return []string{key + ": one of file, syslog, otlp, s3"}
	}
	switch {
	case c.File != nil:
		return c.File.check(key + ".file.")
	case c.Syslog != nil:
		return c.Syslog.check(key + ".syslog.")
	case c.OTLP != nil:
		return c.OTLP.check(key + ".otlp.")
	}
	return c.S3.check(key + ".s3.")
}

func (c *FileSinkConfig) check(key string) (wrong []string) {
	if !filepath.IsAbs(c.Path) {
		wrong = append(wrong, fmt.Sprintf("%spath: %q is not an absolute path", key, c.Path))
	}
	if c.MaxAge != 0 && c.MaxAge < Age(time.Minute) || c.MaxFiles < 0 {
		wrong = append(wrong, key+"max_age, max_files: at least 1m, and not below 0")
	}
	if c.Fsync != "" && c.Fsync != "always" && c.Fsync != fsyncNone {
		wrong = append(wrong, key+"fsync: always, never")
	}
	return wrong
}

func (c *SyslogSinkConfig) check(key string) (wrong []string) {
	if _, err := auditsink.NewSyslog(auditsink.SyslogOptions{Address: c.Address}); err != nil {
		wrong = append(wrong, key+"address: tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH")
	}
	if c.Format != "" && c.Format != auditsink.FormJSON && c.Format != auditsink.FormStructured {
		wrong = append(wrong, key+"format: json, structured")
	}
	if c.Facility < 0 || c.Facility > 23 {
		wrong = append(wrong, key+"facility: 1 to 23")
	}
	return append(wrong, checkPair(key, c.CertFile, c.KeyFile)...)
}

func (c *OTLPSinkConfig) check(key string) (wrong []string) {
	if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		wrong = append(wrong, key+"endpoint: of the form https://HOST:4318/v1/logs, without a password")
	}
	return append(wrong, checkPair(key, c.CertFile, c.KeyFile)...)
}

func checkPair(key, cert, private string) []string {
	if (cert == "") != (private == "") {
		return []string{key + "cert_file, key_file: both or none"}
	}
	return nil
}

func (c *S3SinkConfig) check(key string) (wrong []string) {
	if u, err := url.Parse(c.Destination); err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil {
		wrong = append(wrong, key+"destination: s3://BUCKET or s3://BUCKET/PREFIX")
	}
	if c.Every != 0 && (c.Every < time.Second || c.Every > time.Hour) {
		wrong = append(wrong, key+"every: 1s to 1h")
	}
	return wrong
}

// store says which object store it is, with only the destination in it.
func (c *S3SinkConfig) store(general *S3Config) S3Config {
	own := S3Config{Endpoint: c.Endpoint, Region: c.Region, AccessKeyFile: c.AccessKeyFile, SecretKeyFile: c.SecretKeyFile, PathStyle: c.PathStyle, CAFile: c.CAFile}
	if own.Endpoint == "" && own.Region == "" && own.AccessKeyFile == "" && own.SecretKeyFile == "" && !own.PathStyle && own.CAFile == "" {
		own = *general
	}
	own.Roots = []string{c.Destination}
	return own
}

func (c *FileSinkConfig) options() auditsink.FileOptions {
	return auditsink.FileOptions{
		Path: c.Path, MaxSize: int64(cmp.Or(c.MaxSize, fileSize)), MaxAge: time.Duration(c.MaxAge), MaxFiles: cmp.Or(c.MaxFiles, fileCount), NoSync: c.Fsync == fsyncNone,
	}
}

// place splits s3://BUCKET/PREFIX.
func (c *S3SinkConfig) place() (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(c.Destination, "s3://"), "/")
	return bucket, prefix
}
