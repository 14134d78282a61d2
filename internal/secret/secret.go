// Package secret holds values that must not be seen: passwords, keys, tokens.
// A Secret shows itself only to Reveal; every printer, encoder and logger gets
// a placeholder (design §7.6).
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that does not show. The zero value is the empty secret.
// The text lies behind a pointer, so that even a printer that walks unexported
// fields by reflection finds an address. Secrets are compared by Reveal.
type Secret struct{ text *string }

// New hides s.
func New(s string) Secret { return Secret{text: &s} }

// Reveal returns the hidden text. Call it where the secret is used, never
// where it is passed on.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty tells whether nothing is hidden.
func (s Secret) Empty() bool { return s.text == nil || *s.text == "" }

// String returns the placeholder, or nothing for the empty secret.
func (s Secret) String() string {
	if s.Empty() {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format writes the placeholder for every verb, %x and %d included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText gives encoders (JSON, YAML) the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text from a decoder, so that a configuration may hold
// a Secret.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = New(string(b))
	return nil
}

// LogValue gives slog the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
