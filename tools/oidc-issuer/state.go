package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// accounts are who can sign in, with the claims of their tokens.
var accounts = map[string]map[string]any{
	"alice":   {"tenant": "acme", "groups": []string{"staff", "hx-operators"}, "realm_access": map[string]any{"roles": []string{"ops"}}},
	"bob":     {"tenant": "acme", "groups": []string{"staff"}},
	"mallory": {"tenant": "acme", "groups": []string{"guests"}},
	"root":    {"groups": "hx-platform"},
	"lost":    {"tenant": "nowhere", "groups": []string{"hx-operators"}},
}

// idTokenTime is how long ID tokens live, and hasty those of the client that wants
// to see one expire.
const (
	idTokenTime = time.Hour
	hasty       = 2 * time.Second
)

// state is the storage of Zitadel's example with other clients, users and keys.
type state struct {
	*storage.Storage
	fetches atomic.Int64 // of the keys

	mu  sync.Mutex
	key signingKey
}

func newState(s *storage.Storage) (*state, error) {
	st := &state{Storage: s}
	return st, st.rotate()
}

// rotate makes a new signing key; the old one is gone.
func (s *state) rotate() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = signingKey{id: "key-" + rand.Text()[:8], private: private}
	return nil
}

func (s *state) current() signingKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

func (s *state) SigningKey(context.Context) (op.SigningKey, error) {
	k := s.current()
	return &k, nil
}

func (s *state) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *state) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{&publicKey{s.current()}}, nil
}

// GetClientByClientID knows public clients that sign in by the device grant: their
// access tokens are JWTs.
func (s *state) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	switch id {
	case "hyperctl":
		return &deviceClient{Client: storage.DeviceClient(id, ""), life: idTokenTime}, nil
	case "hasty":
		return &deviceClient{Client: storage.DeviceClient(id, ""), life: hasty}, nil
	}
	return nil, fmt.Errorf("there is no client %q", id)
}

// TokenRequestByRefreshToken tells whose the refresh token is, which the example does
// not note for the device grant: it is the client's that its audience names.
func (s *state) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	r, err := s.Storage.TokenRequestByRefreshToken(ctx, token)
	if of, ok := r.(*storage.RefreshTokenRequest); ok && of.ApplicationID == "" && len(of.Audience) > 0 {
		of.ApplicationID = of.Audience[0]
	}
	return r, err
}

// GetRefreshTokenInfo is asked before a refresh token is revoked.
func (s *state) GetRefreshTokenInfo(ctx context.Context, client, token string) (user, id string, err error) {
	_, _ = s.TokenRequestByRefreshToken(ctx, token)
	return s.Storage.GetRefreshTokenInfo(ctx, client, token)
}

// SetUserinfoFromScopes leaves it to SetUserinfoFromRequest.
func (s *state) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest puts the claims into ID tokens.
func (s *state) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, _ []string) error {
	info.Subject = r.GetSubject()
	for name, v := range accounts[r.GetSubject()] {
		info.AppendClaims(name, v)
	}
	return nil
}

// GetPrivateClaimsFromScopes puts the claims into access tokens.
func (s *state) GetPrivateClaimsFromScopes(_ context.Context, user, _ string, _ []string) (map[string]any, error) {
	return accounts[user], nil
}

type deviceClient struct {
	*storage.Client
	life time.Duration
}

func (*deviceClient) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodNone }

func (*deviceClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }

func (*deviceClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeDeviceCode, oidc.GrantTypeRefreshToken}
}

func (*deviceClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (*deviceClient) IDTokenUserinfoClaimsAssertion() bool { return true }

func (c *deviceClient) IDTokenLifetime() time.Duration { return c.life }

type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func (k *signingKey) ID() string { return k.id }

func (k *signingKey) Key() any { return k.private }

func (*signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }

type publicKey struct{ signingKey }

func (k *publicKey) Key() any { return &k.private.PublicKey }

func (*publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }

func (*publicKey) Use() string { return "sig" }
