package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Login is what to ask an issuer for. What is empty the daemon says.
type Login struct {
	Issuer, ClientID string
	Scopes           []string
}

// Login signs in at the daemon's issuer by the device grant (RFC 8628): it shows an
// address and a code on w, waits until somebody entered it in a browser, wherever
// that is, and keeps the tokens for the next calls. Kinds: Denied, Timeout,
// Unavailable, Unprocessable.
func (a Access) Login(ctx context.Context, l Login, w io.Writer) error {
	trust, err := trusted(a.CAFile)
	if err != nil {
		return err
	}
	if u, err := url.Parse(a.Server); err != nil || u.Scheme != "unix" && !auth.Confidential(u) {
		return fault.New(fault.Unprocessable, "HX-CLI-029", "the token would travel to "+a.Server+" in clear text", "use https, or a tunnel to this machine")
	}
	use, err := a.ask(ctx, &l)
	if err != nil {
		return err
	}
	path, err := sessionPath(a.Server)
	if err != nil {
		return err
	}
	issuer := auth.NewIssuer(l.Issuer, trust)
	m, err := issuer.Metadata(ctx)
	if err != nil {
		return err
	}
	s := &Session{path: path, trust: trust, kept: kept{
		Server: a.Server, Issuer: l.Issuer, ClientID: l.ClientID, Scopes: l.Scopes, TokenURL: m.Token, Revoke: m.Revoke, Use: use,
	}}
	for _, endpoint := range []string{m.Device, m.Token} {
		if u, err := url.Parse(endpoint); err != nil || endpoint == "" || !auth.Confidential(u) {
			return fault.New(fault.Unprocessable, "HX-CLI-030", "the issuer "+l.Issuer+" knows no device grant by https", "let it allow the grant, or use an API key")
		}
	}
	if err := s.grant(context.WithValue(ctx, oauth2.HTTPClient, issuer.Client()), m.Device, w); err != nil {
		return err
	}
	return s.save()
}

// ask fills in what the daemon says, and returns which token it wants.
func (a Access) ask(ctx context.Context, l *Login) (use string, err error) {
	d, err := a.open(client.Options{}) // the answer is everybody's
	if err != nil {
		return "", err
	}
	said, err := d.SignIn(ctx)
	if err != nil {
		return "", ServerError(err)
	}
	if said.OIDC == nil {
		return "", fault.New(fault.Unprocessable, "HX-CLI-031", "the daemon takes no tokens", "use an API key, or set security.oidc.issuer there")
	}
	if l.Issuer == "" {
		l.Issuer = said.OIDC.Issuer
	}
	if l.ClientID == "" {
		l.ClientID = said.OIDC.ClientID
	}
	if len(l.Scopes) == 0 {
		l.Scopes = said.OIDC.Scopes
	}
	if why := auth.CheckIssuer(l.Issuer); why != "" {
		return "", fault.Newf(fault.Unprocessable, "HX-CLI-032", "give --issuer", "the issuer %.200q %s", l.Issuer, why)
	}
	if l.ClientID == "" {
		return "", fault.New(fault.Unprocessable, "HX-CLI-033", "the daemon does not say as which client to log in", "give --client-id, or set security.oidc.login.client_id there")
	}
	if !slices.Contains([]string{useID, useAccess}, said.OIDC.Token) {
		return useID, nil
	}
	return said.OIDC.Token, nil
}

// grant shows the code and polls until somebody decided.
func (s *Session) grant(ctx context.Context, device string, w io.Writer) error {
	config := s.oauth()
	config.Endpoint.DeviceAuthURL = device
	asked, err := config.DeviceAuth(ctx)
	if err != nil {
		return s.refused(err)
	}
	if err := show(asked, s.kept.Server, w); err != nil {
		return err
	}
	t, err := config.DeviceAccessToken(ctx, asked)
	if err != nil {
		return s.refused(err)
	}
	return s.take(t)
}

func show(asked *oauth2.DeviceAuthResponse, server string, w io.Writer) error {
	text := fmt.Sprintf("To log in to %s, open\n\n  %s\n\nand enter the code\n\n  %s\n\n", server, printable(asked.VerificationURI), printable(asked.UserCode))
	if whole := printable(asked.VerificationURIComplete); whole != "" {
		text += fmt.Sprintf("or open %s and compare the code.\n", whole)
	}
	if !asked.Expiry.IsZero() {
		text += fmt.Sprintf("The code is good until %s. Waiting…\n", asked.Expiry.Local().Format(time.TimeOnly))
	}
	_, err := io.WriteString(w, text)
	return err
}

// printable leaves out what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

func (s *Session) refused(err error) error {
	var said *oauth2.RetrieveError
	switch {
	case errors.As(err, &said) && said.ErrorCode == "access_denied":
		return fault.Wrap(quiet(err), fault.Denied, "HX-CLI-034", "the login was refused in the browser", "log in again, and approve it")
	case errors.As(err, &said) && said.ErrorCode == "expired_token", errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(quiet(err), fault.Timeout, "HX-CLI-035", "nobody entered the code in time", "hyperctl login")
	case errors.As(err, &said):
		return fault.Newf(fault.Unprocessable, "HX-CLI-036", "check the client id, and that the issuer allows it the device grant",
			"the issuer %s refuses the login: %s", s.kept.Issuer, printable(said.ErrorCode))
	case errors.Is(err, context.Canceled):
		return fault.Wrap(quiet(err), fault.Cancelled, "HX-CLI-037", "the login was interrupted", "")
	}
	return fault.Wrap(quiet(err), fault.Unavailable, "HX-CLI-027", "the issuer "+s.kept.Issuer+" does not answer", "try again")
}

// Logout forgets the login at the daemon, and lets the issuer forget it, too. found
// is false if there was none.
func (a Access) Logout(ctx context.Context) (found bool, err error) {
	path, err := sessionPath(a.Server)
	if err != nil {
		return false, err
	}
	s := &Session{path: path}
	if s.trust, err = trusted(a.CAFile); err != nil {
		return false, err
	}
	switch err := s.read(); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err == nil:
		err = s.revoke(ctx)
		return true, errors.Join(os.Remove(path), err)
	}
	return true, os.Remove(path) // whatever is in it
}

// revoke tells the issuer (RFC 7009).
func (s *Session) revoke(ctx context.Context) error {
	u, err := url.Parse(s.kept.Revoke)
	if err != nil || s.kept.Revoke == "" || !auth.Confidential(u) || s.kept.Refresh == "" {
		return nil
	}
	form := url.Values{"token": {s.kept.Refresh}, "token_type_hint": {"refresh_token"}, "client_id": {s.kept.ClientID}}
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.kept.Revoke, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := auth.NewIssuer(s.kept.Issuer, s.trust).Client().Do(req)
	if err == nil {
		err = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			err = errors.New("the issuer says " + res.Status)
		}
	}
	if err != nil {
		return fault.Wrap(errors.New(reasonOf(err)), fault.Unavailable, "HX-CLI-038", "the login is forgotten here, but the issuer "+s.kept.Issuer+" may still renew it", "end the session there")
	}
	return nil
}

// reasonOf leaves out the URL, which may hold what was sent.
func reasonOf(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// Show is who calls, in lines for people.
func Show(who client.Identity) [][]string {
	return [][]string{{"ACTOR", who.Actor}, {"TENANT", who.Tenant}, {"PERMISSIONS", strings.Join(who.Permissions, " ")}}
}
