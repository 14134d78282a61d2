package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/secret"
)

const hidden = "p@ss/wörd#1"

type holder struct {
	Public  secret.Secret `json:"public"`
	private secret.Secret
}

func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	s := secret.New(hidden)
	h := holder{Public: s, private: s}
	shown := map[string]string{
		"error": fmt.Errorf("login: %w, %v", errors.New("refused"), h).Error(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		shown[verb] = fmt.Sprintf(verb, s)
		shown["struct "+verb] = fmt.Sprintf(verb, h)
		shown["pointer "+verb] = fmt.Sprintf(verb, &h)
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	shown["json"] = string(j)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("x", "secret", s, "holder", h)
		shown[name] = b.String()
	}
	for name, text := range shown {
		for _, leak := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden)} {
			if strings.Contains(text, leak) {
				t.Errorf("%s shows the secret: %s", name, text)
			}
		}
	}
}

func TestSecretRoundTrip(t *testing.T) {
	t.Parallel()
	var h holder
	if err := json.Unmarshal([]byte(`{"public":"p@ss/wörd#1"}`), &h); err != nil {
		t.Fatal(err)
	}
	if got := h.Public.Reveal(); got != hidden {
		t.Errorf("Reveal() = %q, want %q", got, hidden)
	}
	var zero secret.Secret
	if !zero.Empty() || zero.Reveal() != "" || zero.String() != "" {
		t.Error("the zero Secret is not empty")
	}
	if !secret.New("").Empty() || secret.New("x").Empty() {
		t.Error("Empty() is wrong")
	}
}
