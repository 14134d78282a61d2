package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// credentialPrefix stands before the name of a credential of systemd
// (LoadCredential=, LoadCredentialEncrypted=, SetCredentialEncrypted=) in place of a
// path: in every key that ends in _file, and in store.
const credentialPrefix = "credential:" //nolint:gosec // G101: a prefix

// credentialName is a name that stays in the directory.
var credentialName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$`)

// maxCredential bounds what is read of one, as systemd does.
const maxCredential = 1 << 20

// credentials puts the paths of the credentials into the keys that name them, and the
// content of one into store. Kind Invalid.
func (c *Config) credentials(env vsphere.Lookup) error {
	dir, _ := env("CREDENTIALS_DIRECTORY")
	if err := credentialFiles(reflect.ValueOf(c).Elem(), "", dir); err != nil {
		return err
	}
	if !strings.HasPrefix(c.Store.url.Reveal(), credentialPrefix) {
		return nil
	}
	path, err := credential("store", c.Store.url.Reveal(), dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil || len(text) > maxCredential {
		return fault.Wrap(err, fault.Invalid, "HX-CONF-053", "store: the credential cannot be read", "check the file that the unit loads it from")
	}
	c.Store.url = secret.New(strings.TrimSpace(string(text)))
	return nil
}

// credentialFiles walks the keys.
func credentialFiles(v reflect.Value, key, dir string) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return credentialFiles(v.Elem(), key, dir)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := credentialFiles(v.Index(i), fmt.Sprintf("%s[%d]", key, i), dir); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name != "" {
				if err := credentialFiles(v.Field(i), strings.TrimPrefix(key+"."+name, "."), dir); err != nil {
					return err
				}
			}
		}
	case reflect.String:
		if !strings.HasSuffix(key, "_file") || !strings.HasPrefix(v.String(), credentialPrefix) {
			return nil
		}
		path, err := credential(key, v.String(), dir)
		if err != nil {
			return err
		}
		v.SetString(path)
	default: // no text
	}
	return nil
}

// credential is the path of the one that a key names.
func credential(key, value, dir string) (path string, err error) {
	name := strings.TrimPrefix(value, credentialPrefix)
	if !credentialName.MatchString(name) {
		return "", fault.Newf(fault.Invalid, "HX-CONF-050", "write credential:NAME, as LoadCredential=NAME:PATH has it", "%s: no credential is called %.100q", key, name)
	}
	load := fmt.Sprintf("add LoadCredential=%s:/etc/hypersdk/%s to [Service] of the unit, then systemctl daemon-reload and restart", name, name)
	if dir == "" {
		return "", fault.Newf(fault.Invalid, "HX-CONF-051", load+"; outside of systemd name a file", "%s names the credential %s, but systemd handed none over (CREDENTIALS_DIRECTORY is not set)", key, name)
	}
	path = filepath.Join(dir, name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", &fault.Error{Kind: fault.Invalid, Code: "HX-CONF-052", Err: err, Fix: load,
			Msg: fmt.Sprintf("%s names the credential %s, which systemd did not hand over", key, name)}
	}
	return path, nil
}
