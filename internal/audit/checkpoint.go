package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// origin is the first line of a checkpoint.
const origin = "hypervisord audit log"

// maxNote bounds a checkpoint that comes from outside.
const maxNote = 16 << 10

// Checkpoint says what the log is at one size. As text it is a signed note of the
// C2SP tlog-checkpoint form.
type Checkpoint struct {
	Size int64
	Root Hash
	Time time.Time
	Note string // the signed text
	Node string // whose key signed it
}

// Signer signs checkpoints in the name of a node.
type Signer struct{ signer note.Signer }

// NewSigner makes a Signer of the node's key.
func NewSigner(node string, key ed25519.PrivateKey) (*Signer, error) {
	vkey, err := note.NewEd25519VerifierKey(nodeName(node), key.Public().(ed25519.PublicKey)) //nolint:errcheck,forcetypeassert // it always is
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	rest := strings.SplitN(vkey, "+", 3) // name, hash, public key
	seed := base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...))
	s, err := note.NewSigner("PRIVATE+KEY+" + rest[0] + "+" + rest[1] + "+" + seed)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return &Signer{s}, nil
}

// nodeName is the node as a note may name it.
func nodeName(node string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, "hypervisord/"+node)
}

// Sign makes a checkpoint.
func (s *Signer) Sign(size int64, root Hash, at time.Time) (Checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]), at.UTC().Format(time.RFC3339Nano))
	signed, err := note.Sign(&note.Note{Text: text}, s.signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("audit: %w", err)
	}
	return Checkpoint{Size: size, Root: root, Time: at.UTC(), Note: string(signed), Node: s.signer.Name()}, nil
}

// Keys are the public keys whose signatures count. With several nodes each has its
// own.
type Keys []ed25519.PublicKey

// Verifier implements note.Verifiers: the name is in the key's hash.
func (k Keys) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, key := range k {
		vkey, err := note.NewEd25519VerifierKey(name, key)
		if err != nil {
			break
		}
		if v, err := note.NewVerifier(vkey); err == nil && v.KeyHash() == hash {
			return v, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// Open reads a checkpoint and checks its signature. Kinds: Invalid (it is none),
// Corrupt (no known key signed it).
func (k Keys) Open(text string) (Checkpoint, error) {
	c, err := Parse(text)
	if err != nil {
		return c, err
	}
	_, err = note.Open([]byte(text), k)
	var (
		unknown *note.UnverifiedNoteError
		wrong   *note.InvalidSignatureError
	)
	switch {
	case errors.As(err, &unknown):
		return c, fault.Newf(fault.Corrupt, "HX-AUDIT-002", "give the signing.key.pub of that node with --key",
			"the checkpoint of %d entries is signed by %s, with a key that is not given", c.Size, c.Node)
	case errors.As(err, &wrong):
		return c, fault.Newf(fault.Corrupt, "HX-AUDIT-003", "", "the signature of the checkpoint of %d entries is false", c.Size)
	case err != nil:
		return c, errNote(err)
	}
	return c, nil
}

// Parse reads a checkpoint, whoever signed it. Kind Invalid.
func Parse(text string) (c Checkpoint, err error) {
	if len(text) > maxNote {
		return c, errNote(nil)
	}
	body, signatures, found := strings.Cut(text, "\n\n")
	lines := strings.Split(body, "\n")
	if !found || len(lines) != 4 || lines[0] != origin {
		return c, errNote(nil)
	}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 {
		return c, errNote(err)
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return c, errNote(err)
	}
	if c.Time, err = time.Parse(time.RFC3339Nano, lines[3]); err != nil {
		return c, errNote(err)
	}
	if f := strings.Fields(signatures); len(f) > 1 {
		c.Node = f[1]
	}
	c.Note = text
	return c, nil
}

func errNote(err error) error {
	return &fault.Error{Kind: fault.Invalid, Code: "HX-AUDIT-001", Err: err,
		Msg: "this is no checkpoint of an audit log", Fix: "give one as `hyperctl audit checkpoint` writes it"}
}

func errProof(format string, args ...any) error {
	return fault.Newf(fault.Corrupt, "HX-AUDIT-004", "keep a copy of what you have, and find out who could change the database", format, args...)
}
