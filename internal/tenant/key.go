package tenant

import (
	"crypto/rand"
	"crypto/sha256"
	"regexp"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// KeyPrefix begins every API key: secret scanners find one that leaked.
const KeyPrefix = "hvk_"

// visible is how much of a key is kept, to tell keys apart.
const visible = len(KeyPrefix) + 8

// Digest is the SHA-256 of an API key. A key is random and long, so a fast hash
// keeps it; a slow one would only help those who flood us with wrong keys.
type Digest [sha256.Size]byte

// NewSecret makes an API key of 260 random bits.
func NewSecret() secret.Secret { return secret.New(KeyPrefix + rand.Text() + rand.Text()) }

// Key is an API key as the store keeps it: without the key itself.
type Key struct {
	ID         string       `json:"id"`
	Tenant     ID           `json:"tenant"`
	Name       string       `json:"name"`
	Prefix     string       `json:"prefix" doc:"How the key begins"`
	Digest     Digest       `json:"-"`
	Role       Role         `json:"role"`
	Scopes     []Permission `json:"scopes,omitempty" doc:"What of the role's permissions the key has; absent: all" nullable:"false"`
	CreatedBy  string       `json:"created_by"`
	CreatedAt  time.Time    `json:"created_at"`
	ExpiresAt  *time.Time   `json:"expires_at,omitempty"`
	RevokedAt  *time.Time   `json:"revoked_at,omitempty"`
	LastUsedAt *time.Time   `json:"last_used_at,omitempty" doc:"To the minute"`
}

// Seal makes k the record of the key s.
func (k *Key) Seal(s secret.Secret) {
	text := s.Reveal()
	k.Prefix, k.Digest = text[:visible], sha256.Sum256([]byte(text))
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate checks a new key. Kind Unprocessable.
func (k *Key) Validate(now time.Time) error {
	if !keyName.MatchString(k.Name) {
		return badKey("name is not 1 to 64 letters, digits, dots, hyphens and underscores")
	}
	if !k.Role.Valid() {
		return badKey("role is none of viewer, operator, admin, platform")
	}
	has := k.Role.Permissions()
	for _, s := range k.Scopes {
		if !slices.Contains(has, s) {
			return fault.Newf(fault.Unprocessable, "HX-KEY-002", "leave it out, or choose another role", "the role %s has no permission %.50q", k.Role, string(s))
		}
	}
	if k.ExpiresAt != nil && (!k.ExpiresAt.After(now) || k.ExpiresAt.Year() > 9999) {
		return badKey("expires_at is not in the future, before the year 10000")
	}
	return nil
}

func badKey(why string) error {
	return fault.New(fault.Unprocessable, "HX-KEY-001", "the key's "+why, "correct it")
}

// Permissions returns what the holder may do.
func (k *Key) Permissions() []Permission {
	all := k.Role.Permissions()
	if len(k.Scopes) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(p Permission) bool { return !slices.Contains(k.Scopes, p) })
}

// Principal returns the holder, if the key is good now. Kind Unauthenticated.
func (k *Key) Principal(now time.Time) (Principal, error) {
	switch {
	case k.RevokedAt != nil:
		return Principal{}, fault.Newf(fault.Unauthenticated, "HX-AUTH-013", "use another one", "the API key %s… was revoked", k.Prefix)
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return Principal{}, fault.Newf(fault.Unauthenticated, "HX-AUTH-014", "use the key that it was rotated to, or a new one",
			"the API key %s… expired at %s", k.Prefix, k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return NewPrincipal(k.Tenant, "key:"+k.Name+"/"+k.Prefix, k.Permissions()...), nil
}

// Alive tells whether the key can still be used, now or later.
func (k *Key) Alive(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}
