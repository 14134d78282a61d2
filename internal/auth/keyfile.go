package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Digest is the SHA-256 of an API key.
type Digest = tenant.Digest

const (
	digestPrefix = "sha256:"
	minKey       = 24      // characters
	maxKeyFile   = 4 << 10 // bytes
)

// LoadKey reads the key file: the key itself, or sha256:HEX of it for a daemon
// that need not know it. If there is no file it makes a key (mode 0600) and
// created is true; a crash on the way leaves no file or a whole one. Kind Invalid
// for a file that others may read or that holds no key.
func LoadKey(path string) (d Digest, created bool, err error) {
	d, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, false, err
	}
	if err := makeKey(path); err != nil {
		return Digest{}, false, fault.Wrap(err, fault.Invalid, "HX-AUTH-020", "the API key file "+path+" cannot be made",
			"check the directory and its permissions, or set auth.key_file")
	}
	d, err = readKey(path)
	return d, err == nil, err
}

func readKey(path string) (Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, fault.Wrap(err, fault.Invalid, "HX-AUTH-021", "the API key file "+path+" cannot be read", "check its permissions")
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return Digest{}, fault.Wrap(err, fault.Invalid, "HX-AUTH-021", "the API key file "+path+" cannot be read", "check its permissions")
	}
	others := info.Mode().Perm() & 0o077
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		others &^= 0o040 // systemd lets its service read by an ACL, which shows so
	}
	if others != 0 {
		return Digest{}, fault.Newf(fault.Invalid, "HX-AUTH-022", "chmod 600 "+path, "the API key file %s is open to others (mode %04o)", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return Digest{}, fault.Wrap(err, fault.Invalid, "HX-AUTH-021", "the API key file "+path+" cannot be read", "check the disk")
	}
	return parseKey(strings.TrimSpace(string(text)), path)
}

func parseKey(text, path string) (d Digest, err error) {
	if digest, ok := strings.CutPrefix(text, digestPrefix); ok {
		n, err := hex.Decode(d[:], []byte(digest[:min(len(digest), 2*len(d))]))
		if err != nil || n != len(d) || len(digest) != 2*len(d) {
			return Digest{}, fault.New(fault.Invalid, "HX-AUTH-023", "the API key file "+path+" holds no SHA-256 after sha256:",
				"write 64 hexadecimal digits, as sha256sum prints them")
		}
		return d, nil
	}
	if len(text) < minKey || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Digest{}, fault.Newf(fault.Invalid, "HX-AUTH-024", "remove the file: the daemon makes a new key",
			"the API key file %s does not hold one line of at least %d visible ASCII characters", path, minKey)
	}
	return digestOf(text), nil
}

// makeKey publishes a whole file under the name, or leaves the one that somebody
// else made meanwhile.
func makeKey(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, tenant.NewSecret().Reveal())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(f.Name()), syncDir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
