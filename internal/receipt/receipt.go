// Package receipt holds the proof of an export: what was read, where it went,
// and a signature over both. Anyone can recompute the roots from the artifact
// (docs/receipt.md says how, with qemu-img and a short script).
package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// FileName is the receipt's name beside the artifacts.
const FileName = "receipt.json"

// Version is the format's version, in Receipt.Version. Version 1 had no members: a
// program that knows only that one must not take a file without SHA256 for proven.
const Version = 2

// MaxSize bounds a receipt file that comes from outside.
const MaxSize = 16 << 20

// Receipt binds the content of every disk to the files that hold it.
type Receipt struct {
	Version  int       `json:"version"`
	JobID    string    `json:"job_id"`
	Tool     string    `json:"tool"` // hypervisord and its version
	Format   string    `json:"format"`
	VM       VM        `json:"vm"`
	Started  time.Time `json:"started_at"`
	Finished time.Time `json:"finished_at"`
	// Verified tells how the stored bytes were checked: full (read back, decoded
	// by another path, hashed), or none.
	Verified string `json:"verified"`
	Disks    []Disk `json:"disks"`
	Files    []File `json:"files"`
}

// VM is the identity of the machine that was exported.
type VM struct {
	Provider string `json:"provider"`
	Path     string `json:"path"`
	ID       string `json:"id"`                 // MoRef
	UUID     string `json:"uuid"`               // vCenter instance UUID
	Firmware string `json:"firmware,omitempty"` // bios, efi
}

// Disk is the proof of one disk.
type Disk struct {
	Key       string `json:"key"`
	Name      string `json:"name"`
	File      string `json:"file"`             // which of Files holds it
	Member    string `json:"member,omitempty"` // inside an OVA
	Size      int64  `json:"size_bytes"`
	Root      Root   `json:"root"` // RFC 9162 Merkle root over 64 KiB leaves
	RangeSize int64  `json:"range_bytes"`
	// Ranges are the roots of consecutive ranges of RangeSize bytes, so that a
	// difference can be located.
	Ranges    Roots        `json:"ranges"`
	Transport string       `json:"transport"`
	ChangeID  string       `json:"change_id,omitempty"`
	Origin    *disk.Origin `json:"origin,omitempty"` // the source's own checksum, compared

}

// File is one written file.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size_bytes"`
	// SHA256 is of the whole file; empty for a raw image, where the root of the
	// disk says the same without reading its holes, and for an OVA that was not read
	// back: then its members and its frame say the same.
	SHA256 string `json:"sha256,omitempty"`
	// Members of an OVA, in the order of the archive.
	Members []Member `json:"members,omitempty"`
	// Frame is the SHA-256 of an OVA without the content of its members: the tar
	// headers, the padding and the end mark, one after the other.
	Frame string `json:"frame_sha256,omitempty"`
}

// Member is a file inside an OVA.
type Member struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"` // of its content
	Size   int64  `json:"size_bytes"`
	SHA256 string `json:"sha256"`
}

// Root is a hash in hex, as JSON shows it.
type Root disk.Hash

// String returns the hex form.
func (r Root) String() string { return hex.EncodeToString(r[:]) }

// MarshalText writes hex.
func (r Root) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, r[:]), nil }

// UnmarshalText reads hex.
func (r *Root) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(r) {
		return fmt.Errorf("a root has %d bytes", len(r))
	}
	if _, err := hex.Decode(r[:], b); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return nil
}

// Roots is a list of hashes; JSON shows them as one base64 text.
type Roots []disk.Hash

// MarshalText writes base64 of the concatenation.
func (r Roots) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	for _, h := range r {
		b.Write(h[:])
	}
	return base64.StdEncoding.AppendEncode(nil, b.Bytes()), nil
}

// UnmarshalText reads base64.
func (r *Roots) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	if len(b)%sha256.Size != 0 {
		return fmt.Errorf("roots: %d bytes", len(b))
	}
	*r = make(Roots, len(b)/sha256.Size)
	for i := range *r {
		copy((*r)[i][:], b[i*sha256.Size:])
	}
	return nil
}

// envelope is the file: the receipt's exact bytes and a signature over their
// compact form.
type envelope struct {
	Receipt   json.RawMessage `json:"receipt"`
	Signature signature       `json:"signature"`
}

type signature struct {
	Algorithm string `json:"algorithm"`
	PublicKey []byte `json:"public_key"`
	Value     []byte `json:"value"`
}

// Sign returns the file's content: the receipt with an Ed25519 signature
// (RFC 8032) over its compact JSON.
func Sign(r *Receipt, key ed25519.PrivateKey) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("receipt: key of type %T", key.Public())
	}
	out, err := json.MarshalIndent(envelope{
		Receipt:   body,
		Signature: signature{Algorithm: "ed25519", PublicKey: pub, Value: ed25519.Sign(key, body)},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return append(out, '\n'), nil
}

// Open reads a receipt file and checks its signature against the key that it
// carries, which it returns: whether that key is to be trusted is the caller's
// question. Kind Corrupt if the file was changed or is none.
func Open(file []byte) (*Receipt, ed25519.PublicKey, error) {
	var e envelope
	var r Receipt
	var body bytes.Buffer
	if err := json.Unmarshal(file, &e); err != nil {
		return nil, nil, corrupt("it is not a receipt", err)
	}
	if err := json.Compact(&body, e.Receipt); err != nil {
		return nil, nil, corrupt("it is not a receipt", err)
	}
	pub := ed25519.PublicKey(e.Signature.PublicKey)
	if e.Signature.Algorithm != "ed25519" || len(pub) != ed25519.PublicKeySize {
		return nil, nil, corrupt("its signature is missing", nil)
	}
	if !ed25519.Verify(pub, body.Bytes(), e.Signature.Value) {
		return nil, nil, corrupt("its signature does not match its content", nil)
	}
	if err := json.Unmarshal(e.Receipt, &r); err != nil {
		return nil, nil, corrupt("it cannot be read", err)
	}
	if r.Version < 1 || r.Version > Version {
		return nil, nil, fault.Newf(fault.Unprocessable, "HX-PROOF-002", "use the version of hyperexport that wrote it, or a later one",
			"the receipt has format version %d, this program knows %d", r.Version, Version)
	}
	return &r, pub, nil
}

func corrupt(why string, err error) error {
	return &fault.Error{Kind: fault.Corrupt, Code: "HX-PROOF-001", Msg: "the receipt cannot be trusted: " + why,
		Fix: "take the receipt from the daemon (GET /jobs/{id}/receipt) or export again", Err: err}
}

// KeyID is a short name of a public key, for people.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}
