package console

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Session is a login at an issuer for one daemon, kept in a file that only its owner
// can read. The tokens go to that daemon and to the issuer, and nowhere else.
type Session struct {
	path  string
	trust *tls.Config // at the issuer, which gets no client certificate

	mu   sync.Mutex
	kept kept
}

// kept is what the file holds.
type kept struct {
	Server   string    `json:"server"`
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Scopes   []string  `json:"scopes"`
	TokenURL string    `json:"token_url"`
	Revoke   string    `json:"revoke_url,omitempty"`
	Use      string    `json:"use"` // id_token or access_token
	Token    string    `json:"token"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Expiry   time.Time `json:"expiry"`
}

const (
	useID     = "id_token"
	useAccess = "access_token"
	// early is how long before its end a token is renewed: it shall not end on the way.
	early = 30 * time.Second
	// renewTime is how long that may take.
	renewTime = 30 * time.Second
)

// sessionPath is where the session at a daemon is kept.
func sessionPath(server string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "HX-CLI-021", "there is no directory for the login", "set XDG_CONFIG_HOME or HOME")
	}
	sum := sha256.Sum256([]byte(strings.TrimSuffix(server, "/")))
	return filepath.Join(dir, "hypersdk", "login-"+hex.EncodeToString(sum[:8])+".json"), nil
}

// openSession reads the session at a daemon; nil if there is none.
func openSession(server string) (*Session, error) {
	path, err := sessionPath(server)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // without a home there is no login
	}
	s := &Session{path: path}
	if err := s.read(); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nobody has logged in
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Session) read() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fault.Newf(fault.Invalid, "HX-CLI-022", "chmod 600 "+s.path+", and log in again if somebody may have read it",
			"the login in %s is open to others (mode %04o)", s.path, info.Mode().Perm())
	}
	text, err := os.ReadFile(s.path)
	if err == nil {
		err = json.Unmarshal(text, &s.kept)
	}
	return fault.Wrap(err, fault.Invalid, "HX-CLI-023", "the login in "+s.path+" cannot be read", "hyperctl login")
}

// write replaces the file whole.
func (s *Session) write() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(&s.kept) //nolint:gosec // the file is where the tokens belong
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".login-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func (s *Session) save() error {
	return fault.Wrap(s.write(), fault.Invalid, "HX-CLI-024", "the login cannot be kept in "+s.path, "check the directory and the disk")
}

// token returns the token to send, a new one if it ends.
func (s *Session) token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh() {
		return s.kept.Token, nil
	}
	unlock, err := s.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := s.read(); err != nil { // another program may have renewed it meanwhile
		return "", loggedOut(err)
	}
	if s.fresh() {
		return s.kept.Token, nil
	}
	if err := s.renew(ctx); err != nil {
		return "", err
	}
	return s.kept.Token, nil
}

func (s *Session) fresh() bool { return time.Until(s.kept.Expiry) > early }

func loggedOut(err error) error {
	return fault.Wrap(err, fault.Unauthenticated, "HX-CLI-025", "nobody is logged in any more", "hyperctl login")
}

// lock keeps other programs from using the same refresh token: issuers take each only
// once.
func (s *Session) lock() (unlock func(), err error) {
	f, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-CLI-024", "the login cannot be kept in "+s.path, "check the directory and the disk")
	}
	return func() { _ = f.Close() }, nil
}

// renew gets new tokens. Kinds Unauthenticated, Unavailable.
func (s *Session) renew(ctx context.Context) error {
	if s.kept.Refresh == "" {
		return fault.New(fault.Unauthenticated, "HX-CLI-026", "the login has expired", "hyperctl login")
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, auth.NewIssuer(s.kept.Issuer, s.trust).Client()), renewTime)
	defer cancel()
	t, err := s.oauth().TokenSource(ctx, &oauth2.Token{RefreshToken: s.kept.Refresh}).Token()
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response.StatusCode < 500:
		return fault.Wrap(quiet(err), fault.Unauthenticated, "HX-CLI-026", "the login has ended: the issuer renews it no more", "hyperctl login")
	case err != nil:
		return fault.Wrap(quiet(err), fault.Unavailable, "HX-CLI-027", "the login cannot be renewed: the issuer "+s.kept.Issuer+" does not answer", "try again")
	}
	if err := s.take(t); err != nil {
		return err
	}
	return s.save()
}

func (s *Session) oauth() *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.kept.ClientID, Scopes: s.kept.Scopes,
		Endpoint: oauth2.Endpoint{TokenURL: s.kept.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// take keeps what the issuer gave. Kind Unprocessable if it is not what the daemon
// wants.
func (s *Session) take(t *oauth2.Token) error {
	if t.RefreshToken != "" {
		s.kept.Refresh = t.RefreshToken
	}
	s.kept.Token, s.kept.Expiry = t.AccessToken, t.Expiry
	if s.kept.Use == useID {
		s.kept.Token, _ = t.Extra(useID).(string)
		s.kept.Expiry = time.Time{}
	}
	if s.kept.Token == "" {
		return fault.New(fault.Unprocessable, "HX-CLI-028", "the issuer gave no "+s.kept.Use,
			"ask for the scope openid, or let the daemon say access_token (security.oidc.login.token)")
	}
	if s.kept.Expiry.IsZero() {
		s.kept.Expiry = expiryOf(s.kept.Token)
	}
	return nil
}

// expiryOf reads when a JWT ends; whether it is a good one is the daemon's to say.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	var claims struct {
		Expiry int64 `json:"exp"`
	}
	if len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(text, &claims)
		}
	}
	return time.Unix(claims.Expiry, 0)
}

// quiet keeps the code of the issuer's error, and nothing that it may repeat of what
// was sent.
func quiet(err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return errors.New("the issuer says " + printable(e.ErrorCode))
	}
	return errors.New(reasonOf(err))
}
