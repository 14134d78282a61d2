package receipt

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// LoadKey reads the node's signing key (PKCS #8 PEM), or makes one at the first
// start: mode 0600, and the public half beside it as PATH.pub for whoever wants
// to check receipts.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	block, _ := pem.Decode(file)
	if block == nil {
		return nil, badKey(path, nil)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, badKey(path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, badKey(path, nil)
	}
	return key, nil
}

func badKey(path string, err error) error {
	return &fault.Error{Kind: fault.Invalid, Code: "HX-PROOF-003", Msg: "the signing key " + path + " is not an Ed25519 key in PKCS #8 PEM",
		Fix: "restore it from a backup, or move it away and a new one is made", Err: err}
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if err := writePEM(path, "PRIVATE KEY", der, 0o600); err != nil {
		return nil, err
	}
	return key, writePEM(path+".pub", "PUBLIC KEY", pubDER, 0o644)
}

func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	return errors.Join(err, f.Sync(), f.Close())
}

// ReadPublicKey reads a public key as LoadKey leaves it.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "HX-PROOF-004", "the public key "+path+" cannot be read", "give the daemon's signing.key.pub")
	}
	if block, _ := pem.Decode(file); block != nil {
		if parsed, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if pub, ok := parsed.(ed25519.PublicKey); ok {
				return pub, nil
			}
		}
	}
	return nil, fault.New(fault.Invalid, "HX-PROOF-005", path+" is not an Ed25519 public key in PEM", "give the daemon's signing.key.pub")
}
