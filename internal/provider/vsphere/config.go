package vsphere

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// Config says which vCenter (or ESXi host) to talk to, as whom, and how hard.
// Zero values are safe: TLS is verified, limits are set.
type Config struct {
	// URL of the SDK: "vcenter.example.com" or "https://vcenter.example.com/sdk".
	// It must not contain a user or a password.
	URL      string
	Username string // with domain: administrator@vsphere.local
	Password secret.Secret

	CAFile     string // PEM file with the roots to trust instead of the system's
	Thumbprint string // SHA-1 or SHA-256 of vCenter's certificate, hex, colons allowed
	Insecure   bool   // do not verify vCenter's certificate

	// Connections is the number of parallel Range requests per disk; default 4.
	Connections int
	// HostStreams bounds the NFC streams per ESXi host; default 4. A host has
	// 48 MB for all its NFC clients together.
	HostStreams int
	// IdleTimeout ends a transfer that delivers no byte for so long; default
	// 60 s. There is no limit on the whole transfer.
	IdleTimeout time.Duration
	// KeepAlive is the interval between calls that keep the session; default
	// 5 min (vCenter ends a session after 30 min without calls).
	KeepAlive time.Duration
	// IgnoreCBT reads unallocated areas too, although changed block tracking
	// could tell which they are.
	IgnoreCBT bool
}

// scheme is the only one that is spoken.
const scheme = "https"

// Lookup finds an environment variable, like os.LookupEnv.
type Lookup func(key string) (string, bool)

// FromEnv reads GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD, GOVC_INSECURE (any Go
// bool) and GOVC_TLS_CA_CERTS. A user and password inside GOVC_URL are split
// off; the separate variables win over them. Kind Invalid: a value that cannot
// be understood; GOVC_URL may be missing (Config.URL is empty then).
func FromEnv(lookup Lookup) (Config, error) {
	var c Config
	raw, _ := lookup("GOVC_URL")
	clean, user, err := splitURL(raw)
	if err != nil {
		return Config{}, err
	}
	c.URL = clean
	if user != nil {
		c.Username = user.Username()
		if pw, ok := user.Password(); ok {
			c.Password = secret.New(pw)
		}
	}
	if v, ok := lookup("GOVC_USERNAME"); ok {
		c.Username = v
	}
	if v, ok := lookup("GOVC_PASSWORD"); ok {
		c.Password = secret.New(v)
	}
	if v, ok := lookup("GOVC_TLS_CA_CERTS"); ok {
		c.CAFile = v
	}
	if v, ok := lookup("GOVC_INSECURE"); ok && v != "" {
		if c.Insecure, err = strconv.ParseBool(v); err != nil {
			return Config{}, fault.Newf(fault.Invalid, "HX-VSPHERE-001",
				"set it to true or false", "GOVC_INSECURE is %q, which is no truth value", v)
		}
	}
	return c, nil
}

// splitURL takes the user information out of a URL before anything keeps it.
// The password is split off by hand: people put '#', '/' and '%' into it
// without escaping, which url.Parse refuses with an error that shows it.
func splitURL(raw string) (clean string, user *url.Userinfo, err error) {
	protocol, rest, found := strings.Cut(raw, "://")
	if !found {
		protocol, rest = scheme, raw
	}
	info, host, has := cutLast(rest, "@")
	if !has {
		return raw, nil, nil
	}
	// An '@' after the first '/' of a URL without user information belongs to
	// the path; a host never contains one of these.
	if host == "" || strings.ContainsAny(host, " ?#") {
		return "", nil, fault.New(fault.Invalid, "HX-VSPHERE-002",
			"the URL of vCenter cannot be understood: no host after the user information",
			"use https://HOST/sdk and give user and password separately")
	}
	name, pw, hasPW := strings.Cut(info, ":")
	name, pw = unescape(name), unescape(pw)
	if hasPW {
		return protocol + "://" + host, url.UserPassword(name, pw), nil
	}
	return protocol + "://" + host, url.User(name), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// unescape undoes percent escapes, and leaves text that is no valid escape as
// it stands.
func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// endpoint checks the configuration and returns the SDK's URL, without user.
func (c *Config) endpoint() (*url.URL, error) {
	raw := strings.TrimSpace(c.URL)
	if raw == "" {
		return nil, fault.New(fault.Invalid, "HX-VSPHERE-003",
			"no vCenter is configured", "set vsphere.url in the configuration, or GOVC_URL")
	}
	if !strings.Contains(raw, "://") {
		raw = scheme + "://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		// The cause is left out: url.Error repeats the URL, and so a password.
		return nil, fault.New(fault.Invalid, "HX-VSPHERE-002",
			"the URL of vCenter cannot be understood", "use https://HOST/sdk")
	}
	switch {
	case u.User != nil:
		return nil, fault.New(fault.Invalid, "HX-VSPHERE-004",
			"the URL of vCenter contains a user", "give user and password separately: a URL ends up in logs")
	case u.Scheme != scheme:
		return nil, fault.Newf(fault.Invalid, "HX-VSPHERE-005",
			"use https://; with a self-signed certificate set the thumbprint",
			"the URL of vCenter has the scheme %q: the password would travel in clear text", u.Scheme)
	case c.Username == "":
		return nil, fault.New(fault.Invalid, "HX-VSPHERE-006",
			"no user for vCenter is configured", "set vsphere.username, or GOVC_USERNAME")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sdk"
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

// setDefaults fills what was left zero.
func (c *Config) setDefaults() {
	if c.Connections <= 0 {
		c.Connections = 4
	}
	if c.HostStreams <= 0 {
		c.HostStreams = 4
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = time.Minute
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = 5 * time.Minute
	}
}

// roots reads CAFile; an empty CAFile gives nil, the system's roots.
func (c *Config) roots() ([]byte, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-VSPHERE-007",
			"the file with vCenter's CA certificates cannot be read: "+c.CAFile,
			"check vsphere.ca_file and the file's permissions")
	}
	return pem, nil
}
