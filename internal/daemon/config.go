package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// DefaultConfigPath is read if it exists and no other file is named.
const DefaultConfigPath = "/etc/hypersdk/config.yaml"

// Config is the daemon's configuration: a strict YAML file, each key of which
// HYPERVISORD_SECTION__KEY in the environment overrides. A key that ends in _file, and
// store, take credential:NAME, too.
type Config struct {
	Listen   string `yaml:"listen"`    // address of the API; loopback by default
	StateDir string `yaml:"state_dir"` // database, keys, identity; owned by one daemon
	// Store is sqlite (in state_dir), or postgres://USER@HOST/DATABASE, which
	// several daemons may share.
	Store             Database        `yaml:"store"`
	StorePasswordFile string          `yaml:"store_password_file"` // else PGPASSWORD or PGPASSFILE
	Output            OutputConfig    `yaml:"output"`
	Workers           int             `yaml:"workers"`     // jobs that run at once
	MaxCrashes        int             `yaml:"max_crashes"` // workers that a job may lose without coming further
	Queue             QueueConfig     `yaml:"queue"`
	Log               LogConfig       `yaml:"log"`
	Auth              AuthConfig      `yaml:"auth"`
	VSphere           VSphereConfig   `yaml:"vsphere"`
	S3                S3Config        `yaml:"s3"`
	Webhooks          WebhookConfig   `yaml:"webhooks"`
	Hyper2kvm         Hyper2kvmConfig `yaml:"hyper2kvm"`

	// SecretsKeyFile encrypts the secrets in the store, made at the first start if it
	// does not exist; nodes that share a store share it. Default: secrets.key in
	// state_dir.
	SecretsKeyFile string `yaml:"secrets_key_file"`

	ProfilesDir string `yaml:"profiles_dir"` // YAML files with named defaults for jobs

	// BandwidthLimit is what all jobs of this node together may read from their
	// sources in a second; BandwidthWindows are hours with another limit.
	BandwidthLimit   string   `yaml:"bandwidth_limit"`
	BandwidthWindows []string `yaml:"bandwidth_windows"`

	// MinWorkers and MaxWorkers let the number of workers follow the load; 0: it
	// is Workers.
	MinWorkers int `yaml:"min_workers"`
	MaxWorkers int `yaml:"max_workers"`

	Retention RetentionConfig `yaml:"retention"`

	// Pages says whether /docs/ shows pages to try the APIs by: loopback (only
	// while the API listens on a loopback address), on, off.
	Pages string `yaml:"pages"`

	Health   HealthConfig   `yaml:"health"`
	Admin    AdminConfig    `yaml:"admin"`
	TLS      TLSConfig      `yaml:"tls"`
	Security SecurityConfig `yaml:"security"`
	Audit    AuditConfig    `yaml:"audit"`
}

// OutputConfig says where exports may go.
type OutputConfig struct {
	// Roots are the directories below which output_path must lie; a relative
	// output_path is below the first.
	Roots []string `yaml:"roots"`
}

// QueueConfig says how long low classes wait for high ones.
type QueueConfig struct {
	AgeAfter  time.Duration `yaml:"age_after"`  // a job that waits for longer is aged
	AgedEvery int           `yaml:"aged_every"` // one start in so many goes to the oldest aged job
}

// LogConfig says what is logged and how.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // json, text
}

// AuthConfig says who may call the API.
type AuthConfig struct {
	// Disabled lets everybody in who reaches the address. Only for loopback.
	Disabled bool `yaml:"disabled"`
	// KeyFile holds the API key; made at the first start if it does not exist.
	// Default: api.key in state_dir.
	KeyFile string `yaml:"key_file"`
	// SessionIdle ends a browser's session that is not used for so long. Default 30m.
	SessionIdle time.Duration `yaml:"session_idle"`
	// SessionLifetime ends it, used or not. Default 12h.
	SessionLifetime time.Duration `yaml:"session_lifetime"`
}

// VSphereConfig is the connection to vCenter. GOVC_URL, GOVC_USERNAME,
// GOVC_PASSWORD and GOVC_INSECURE fill what is empty here.
type VSphereConfig struct {
	URL          string        `yaml:"url"`
	Username     string        `yaml:"username"`
	Password     secret.Secret `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	CAFile       string        `yaml:"ca_file"`
	Thumbprint   string        `yaml:"thumbprint"`
	Insecure     bool          `yaml:"insecure"`
	Connections  int           `yaml:"connections"`  // parallel Range requests per disk
	HostStreams  int           `yaml:"host_streams"` // NFC streams per ESXi host and node
	// MaxExportsPerHost bounds the exports that read from one ESXi host at once, of
	// all nodes together; 0: no bound. An export reads two disks at once at most.
	MaxExportsPerHost int           `yaml:"max_exports_per_host"`
	IdleTimeout       time.Duration `yaml:"idle_timeout"` // of a transfer that delivers nothing
	IgnoreCBT         bool          `yaml:"ignore_cbt"`   // read what changed block tracking calls unallocated, too
}

// DefaultConfig is what holds without a file.
func DefaultConfig() Config {
	return Config{
		Listen:     "127.0.0.1:8080",
		StateDir:   "/var/lib/hypersdk",
		Workers:    max(2, runtime.GOMAXPROCS(0)),
		MaxCrashes: 10,
		Queue:      defaultQueue(),
		Log:        LogConfig{Level: "info", Format: "json"},
		VSphere:    VSphereConfig{MaxExportsPerHost: 4},

		ProfilesDir:    profile.DefaultDir,
		BandwidthLimit: "unlimited",
		Retention:      RetentionConfig{Jobs: 90 * day},
		Pages:          pagesLocal,
		Health:         HealthConfig{QueueDepth: 1000},
		Webhooks:       defaultWebhooks(),
		TLS:            TLSConfig{MinVersion: "1.3", ClientAuth: clientAuthOff},
		Security:       defaultSecurity(),
		Auth:           defaultAuth(),
	}
}

func defaultQueue() QueueConfig {
	p := admission.Policy{}.WithDefaults()
	return QueueConfig{AgeAfter: p.AgeAfter, AgedEvery: p.Every}
}

// Load reads the configuration: defaults, then the file (path "" means
// DefaultConfigPath if it is there), then the environment. Kind Invalid names
// every wrong key with its line.
func Load(path string, env vsphere.Lookup, environ []string) (Config, error) {
	c := DefaultConfig()
	text, err := readConfig(path)
	if err != nil {
		return c, err
	}
	if len(text) > 0 {
		if err := yaml.Load(text, &c, yaml.WithKnownFields()); err != nil {
			return c, &fault.Error{Kind: fault.Invalid, Code: "HX-CONF-001", Err: err,
				Msg: "the configuration is not valid: " + yamlReason(err),
				Fix: "correct the file; `hypervisord config show` prints every key with its default"}
		}
	}
	if err := overlay(&c, environ); err != nil {
		return c, err
	}
	if err := c.credentials(env); err != nil {
		return c, err
	}
	if c.VSphere, err = c.VSphere.withGovc(env); err != nil {
		return c, err
	}
	c.complete()
	return c, c.check()
}

func readConfig(path string) ([]byte, error) {
	name := path
	if name == "" {
		name = DefaultConfigPath
	}
	text, err := os.ReadFile(name)
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, fault.Wrap(err, fault.Invalid, "HX-CONF-002", "the configuration "+name+" cannot be read", "check --config and the file's permissions")
}

// yamlReason keeps the lines of the decoder's error, without values: a value may
// be a password in the wrong place.
func yamlReason(err error) string {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	var found []*yaml.LoadError
	switch {
	case errors.As(err, &many):
		found = many.Errors
	case errors.As(err, &one):
		found = []*yaml.LoadError{one}
	default:
		return "it is not one YAML document"
	}
	out := make([]string, len(found))
	for i, e := range found {
		out[i] = fmt.Sprintf("line %d, column %d: %s", e.Mark.Line, e.Mark.Column, quoted.ReplaceAllString(e.Message, "a value"))
	}
	return strings.Join(out, "; ")
}

var quoted = regexp.MustCompile("`[^`]*`")

// complete fills what depends on other keys.
func (c *Config) complete() {
	if len(c.Output.Roots) == 0 {
		c.Output.Roots = []string{filepath.Join(c.StateDir, "exports")}
	}
	if c.Auth.KeyFile == "" {
		c.Auth.KeyFile = filepath.Join(c.StateDir, "api.key")
	}
	if c.SecretsKeyFile == "" {
		c.SecretsKeyFile = filepath.Join(c.StateDir, "secrets.key")
	}
	c.Security.OIDC.complete()
}

func (c *Config) check() error {
	wrong := c.checkAddress()
	wrong = append(wrong, c.checkWorkers()...)
	wrong = append(wrong, c.checkPlaces()...)
	wrong = append(wrong, c.Auth.check()...)
	wrong = append(wrong, c.Webhooks.check()...)
	wrong = append(wrong, c.Hyper2kvm.check()...)
	wrong = append(wrong, c.Retention.check()...)
	wrong = append(wrong, c.checkPages()...)
	wrong = append(wrong, c.Health.check()...)
	wrong = append(wrong, c.Admin.check()...)
	wrong = append(wrong, c.checkTLS()...)
	wrong = append(wrong, c.Security.check()...)
	wrong = append(wrong, c.Audit.check()...)
	if _, err := c.bandwidth(); err != nil {
		wrong = append(wrong, "bandwidth: "+fault.As(err).Msg)
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "HX-CONF-003", "the configuration is not valid: "+strings.Join(wrong, "; "), "correct these keys")
}

func (c *Config) checkAddress() []string {
	host, _, err := net.SplitHostPort(c.Listen)
	switch ip := net.ParseIP(host); {
	case err != nil:
		return []string{fmt.Sprintf("listen: %q is not HOST:PORT", c.Listen)}
	case c.Auth.Disabled && (ip == nil || !ip.IsLoopback()) && host != "localhost":
		return []string{"auth.disabled: only with a loopback listen address"}
	case c.Auth.Disabled && (c.Security.OIDC.Issuer != "" || c.TLS.ClientAuth != clientAuthOff):
		return []string{"auth.disabled: not together with security.oidc or tls.client_auth: nobody would be asked who calls"}
	}
	return nil
}

func (c *Config) checkWorkers() (wrong []string) {
	if c.Workers < 1 || c.Workers > 256 {
		wrong = append(wrong, "workers: 1 to 256")
	}
	if scales := c.MinWorkers != 0 || c.MaxWorkers != 0; scales && (c.MinWorkers < 1 || c.MinWorkers > c.MaxWorkers || c.MaxWorkers > 256) {
		wrong = append(wrong, "min_workers, max_workers: 1 to 256, both or none, the first not above the second")
	}
	if c.MaxCrashes < 1 {
		wrong = append(wrong, "max_crashes: at least 1")
	}
	if c.VSphere.MaxExportsPerHost < 0 {
		wrong = append(wrong, "vsphere.max_exports_per_host: 0 (no bound) or more")
	}
	if c.Queue.AgeAfter <= 0 || c.Queue.AgedEvery < 1 {
		wrong = append(wrong, "queue: age_after must be longer than 0 and aged_every at least 1")
	}
	return wrong
}

func (c *Config) checkPlaces() (wrong []string) {
	for _, root := range c.Output.Roots {
		if !filepath.IsAbs(root) {
			wrong = append(wrong, fmt.Sprintf("output.roots: %q is not an absolute path", root))
		}
	}
	if !c.Store.known() {
		wrong = append(wrong, "store: sqlite, or postgres://USER@HOST:PORT/DATABASE")
	}
	if !filepath.IsAbs(c.StateDir) {
		wrong = append(wrong, fmt.Sprintf("state_dir: %q is not an absolute path", c.StateDir))
	}
	return wrong
}

func (c *Config) bandwidth() (limit.Plan, error) {
	return limit.ParsePlan(c.BandwidthLimit, c.BandwidthWindows)
}

// Complete reads the password's file, fills what is empty from the GOVC_*
// variables, and gives the form that the provider takes.
func (v VSphereConfig) Complete(env vsphere.Lookup) (vsphere.Config, error) {
	v, err := v.withGovc(env)
	return v.provider(), err
}

func (v VSphereConfig) withGovc(env vsphere.Lookup) (VSphereConfig, error) {
	if v.PasswordFile != "" {
		text, err := os.ReadFile(v.PasswordFile)
		if err != nil {
			return v, fault.Wrap(err, fault.Invalid, "HX-CONF-004", "the password file cannot be read", "check the path and the file's permissions")
		}
		v.Password = secret.New(strings.TrimRight(string(text), "\r\n"))
	}
	if v.URL != "" && v.Username != "" && !v.Password.Empty() {
		return v, nil
	}
	govc, err := vsphere.FromEnv(env)
	if err != nil {
		return v, err
	}
	if v.URL == "" {
		v.URL, v.Insecure = govc.URL, v.Insecure || govc.Insecure
	}
	if v.Username == "" {
		v.Username = govc.Username
	}
	if v.Password.Empty() {
		v.Password = govc.Password
	}
	if v.CAFile == "" {
		v.CAFile = govc.CAFile
	}
	return v, nil
}

// provider is the form that the provider takes.
func (v VSphereConfig) provider() vsphere.Config {
	return vsphere.Config{
		URL: v.URL, Username: v.Username, Password: v.Password,
		CAFile: v.CAFile, Thumbprint: v.Thumbprint, Insecure: v.Insecure,
		Connections: v.Connections, HostStreams: v.HostStreams, IdleTimeout: v.IdleTimeout, IgnoreCBT: v.IgnoreCBT,
	}
}

// YAML shows the configuration with every key; secrets are hidden.
func (c *Config) YAML() ([]byte, error) {
	text, err := yaml.Dump(c)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return text, nil
}
