package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// SecretPrefix begins a signing secret, as the Standard Webhooks specification
// says.
const SecretPrefix = "whsec_"

const (
	secretSize = 32
	// MaxSecrets is how many secrets sign at once.
	MaxSecrets = 5
)

// Private is what of a webhook must not be seen. It is stored sealed.
type Private struct {
	URL  string `json:"url"`
	Keys []Key  `json:"keys"` // the newest first
}

// Key is one signing secret.
type Key struct {
	ID        string     `json:"id"`
	Raw       []byte     `json:"raw"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// NewKey makes a signing secret.
func NewKey(now time.Time) (Key, error) {
	raw := make([]byte, secretSize)
	if _, err := rand.Read(raw); err != nil {
		return Key{}, fmt.Errorf("make a secret: %w", err)
	}
	sum := sha256.Sum256(append([]byte("webhook secret id\x00"), raw...))
	return Key{ID: hex.EncodeToString(sum[:6]), Raw: raw, CreatedAt: now.UTC().Truncate(time.Microsecond)}, nil
}

// Text is the secret as a receiver needs it.
func (k *Key) Text() secret.Secret {
	return secret.New(SecretPrefix + base64.StdEncoding.EncodeToString(k.Raw))
}

// Rotate puts a new secret in front. The others sign until the end of the overlap;
// those whose time is over, and those that are too many, go.
func (p *Private) Rotate(k Key, overlap time.Duration) {
	end := k.CreatedAt.Add(overlap)
	for i := range p.Keys {
		if p.Keys[i].ExpiresAt == nil || p.Keys[i].ExpiresAt.After(end) {
			p.Keys[i].ExpiresAt = &end
		}
	}
	p.Keys = slices.Insert(p.Keys, 0, k)
	p.Keys = slices.DeleteFunc(p.Keys, func(o Key) bool { return !o.signs(k.CreatedAt) })
	p.Keys = p.Keys[:min(len(p.Keys), MaxSecrets)]
}

func (k *Key) signs(now time.Time) bool { return k.ExpiresAt == nil || now.Before(*k.ExpiresAt) }

// Info tells of the secrets, without them.
func (p *Private) Info() []SecretInfo {
	out := make([]SecretInfo, len(p.Keys))
	for i, k := range p.Keys {
		out[i] = SecretInfo{ID: k.ID, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
	}
	return out
}

// about ties the box to its webhook.
func (w *Webhook) about() string { return "webhook\x00" + w.Tenant + "\x00" + w.ID }

// Seal puts what must not be seen into the box.
func (w *Webhook) Seal(k *seal.Key, p Private) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("seal a webhook: %w", err)
	}
	w.Box, w.KeyID, w.Secrets = k.Seal(text, w.about()), k.ID(), p.Info()
	return nil
}

// Open reads the box. Kind Corrupt.
func (w *Webhook) Open(k *seal.Key) (p Private, err error) {
	text, err := k.Open(w.Box, w.about())
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("open a webhook: %w", err)
	}
	return p, nil
}

// The headers of the Standard Webhooks specification.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Sign sets the headers of one attempt: a signature by each secret that is not
// over, of the id, the time of the attempt and the body.
func (p *Private) Sign(h http.Header, id string, now time.Time, body []byte) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, k := range p.Keys {
		if !k.signs(now) {
			continue
		}
		mac := hmac.New(sha256.New, k.Raw)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}
