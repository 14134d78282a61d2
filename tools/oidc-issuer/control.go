package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/go-jose/go-jose/v4"
)

// control are what a test asks of the issuer beside the protocol.
func (s *state) control(mux *http.ServeMux) {
	answer := func(path string, f func(r *http.Request) (string, error)) {
		mux.HandleFunc("POST /test/"+path, func(w http.ResponseWriter, r *http.Request) {
			text, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			_, _ = io.WriteString(w, text)
		})
	}
	answer("approve", func(r *http.Request) (string, error) {
		return "", s.CompleteDeviceAuthorization(r.Context(), r.FormValue("user_code"), r.FormValue("user"))
	})
	answer("deny", func(r *http.Request) (string, error) {
		return "", s.DenyDeviceAuthorization(r.Context(), r.FormValue("user_code"))
	})
	answer("rotate", func(*http.Request) (string, error) { return "", s.rotate() })
	answer("fetches", func(*http.Request) (string, error) { return strconv.FormatInt(s.fetches.Load(), 10), nil })
	answer("sign", s.sign)
}

// sign signs the payload of a test with the key of the issuer, under headers of the
// test.
func (s *state) sign(r *http.Request) (string, error) {
	var in struct {
		Header  map[string]any  `json:"header"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return "", err
	}
	k := s.current()
	o := &jose.SignerOptions{}
	o.WithHeader("kid", k.id)
	for name, v := range in.Header {
		o.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.private}, o)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(in.Payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
