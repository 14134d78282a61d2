// Package seal encrypts what the store keeps and nobody may read there: URLs that
// hold a token, signing secrets. Whoever has the database but not the key file
// learns nothing.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const keySize = 32 // AES-256

// Key encrypts and decrypts. It may be used concurrently.
type Key struct {
	aead cipher.AEAD
	id   string
}

// New makes a key of 32 random bytes. Kind Invalid for another length.
func New(raw []byte) (*Key, error) {
	if len(raw) != keySize {
		return nil, fault.New(fault.Invalid, "HX-SEAL-001", "a key for secrets does not have 32 bytes", "restore it from a backup")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	sum := sha256.Sum256(append([]byte("hypersdk key id\x00"), raw...))
	return &Key{aead: aead, id: hex.EncodeToString(sum[:8])}, nil
}

// ID names the key without giving it away: what one key sealed no other opens.
func (k *Key) ID() string { return k.id }

// Seal encrypts a text. about says what it belongs to: Open wants the same, so
// that nobody who can write to the database gives it to somebody else.
func (k *Key) Seal(plain []byte, about string) []byte {
	return k.aead.Seal(nil, nil, plain, []byte(about)) //nolint:gosec // the nonce is random: it is made inside
}

// Open decrypts. Kind Corrupt: it was changed, belongs to something else, or
// another key sealed it.
func (k *Key) Open(sealed []byte, about string) ([]byte, error) {
	plain, err := k.aead.Open(nil, nil, sealed, []byte(about))
	return plain, fault.Wrap(err, fault.Corrupt, "HX-SEAL-002", "a stored secret cannot be decrypted",
		"restore the key file that it was stored with (secrets.key in the state directory), or set the secret anew")
}

// Load reads a key file (32 bytes in base64), or makes one with mode 0600 at the
// first start.
func Load(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeFile(path)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "HX-SEAL-003", "the key file "+path+" cannot be read or made", "check the path and the file's permissions")
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(raw) != keySize {
		return nil, fault.New(fault.Invalid, "HX-SEAL-004", "the key file "+path+" does not hold 32 bytes in base64",
			"restore it from a backup; without it the stored secrets are lost")
	}
	return New(raw)
}

// makeFile appears whole or not at all: a key that was half written would be
// taken for a damaged one.
func makeFile(path string) (text []byte, err error) {
	raw := make([]byte, keySize)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	text = append(base64.StdEncoding.AppendEncode(nil, raw), '\n')
	f, err := os.CreateTemp(filepath.Dir(path), ".secrets-*") // mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) { // somebody else was faster
		text, err = os.ReadFile(path)
	}
	return text, errors.Join(err, os.Remove(f.Name()))
}
