package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// file holds the lasting part of a node's identity, in its state directory.
const file = "node.id"

var lasting = regexp.MustCompile(`^[0-9a-f]{12}$`)

// Identity returns the id of the node that has a state directory: the host's name
// and a random part that is made once. A node that was started again has the id
// that it had, and may take back its jobs; no other node has it, unless a machine
// was copied and kept its name.
func Identity(stateDir string) (id string, err error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "local"
	}
	path := filepath.Join(stateDir, file)
	last, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		last, err = create(path)
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "HX-NODE-001", "the identity of this node, "+path+", cannot be read or made",
			"check the state directory; if the file is damaged, remove it: the node then is a new one")
	}
	return host + "-" + last, nil
}

func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return "", err
	}
	last := strings.TrimSpace(string(text))
	if !lasting.MatchString(last) {
		return "", errors.New("it does not hold 12 hexadecimal digits")
	}
	return last, nil
}

// create writes a new one. The state directory is locked: nobody else does.
func create(path string) (string, error) {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	last := hex.EncodeToString(b[:])
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(last + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return last, os.Rename(temp, path)
}
