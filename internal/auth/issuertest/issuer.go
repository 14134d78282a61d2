// Package issuertest runs an OpenID Connect issuer of other people's code
// (tools/oidc-issuer) for tests.
package issuertest

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Clients that the issuer knows: public ones, with the device grant. The ID tokens of
// the second live for two seconds.
const (
	Client = "hyperctl"
	Hasty  = "hasty"
)

// The accounts of the issuer. The first three are of the tenant acme by their claim
// tenant; Root has none, and Lost that of a tenant nowhere.
const (
	Alice   = "alice"   // groups: staff, hx-operators; realm_access.roles: ops
	Bob     = "bob"     // groups: staff
	Mallory = "mallory" // groups: guests
	Root    = "root"    // groups: hx-platform, as a text
	Lost    = "lost"    // groups: hx-operators
)

// Issuer is one that runs.
type Issuer struct {
	URL string

	t    testing.TB
	life time.Duration
	stop func()
}

// Start runs an issuer until the test is over.
func Start(tb testing.TB) *Issuer {
	tb.Helper()
	return StartHasty(tb, time.Minute)
}

// StartHasty runs one whose device codes are good for so long.
func StartHasty(tb testing.TB, life time.Duration) *Issuer {
	tb.Helper()
	i := &Issuer{t: tb, life: life}
	i.start("127.0.0.1:0")
	tb.Cleanup(func() { i.stop() })
	return i
}

func (i *Issuer) start(address string) {
	i.t.Helper()
	program, err := exec.LookPath("oidc-issuer")
	if err != nil {
		i.t.Fatal("oidc-issuer is missing: make .cache/tools/oidc-issuer, and put that directory into PATH")
	}
	cmd := exec.Command(program, address, i.life.String()) //nolint:noctx,gosec // it ends when its standard input does; a fixed program, arguments of the test
	in, err := cmd.StdinPipe()
	i.must(err)
	out, err := cmd.StdoutPipe()
	i.must(err)
	i.must(cmd.Start())
	i.stop = func() {
		i.stop = func() {}
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			i.t.Error("the issuer: ", err)
		}
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	i.must(err)
	i.URL = strings.TrimSpace(line)
}

// Down stops the issuer.
func (i *Issuer) Down() { i.stop() }

// Up starts it again at its address, with a new key.
func (i *Issuer) Up() {
	i.t.Helper()
	i.start(strings.TrimPrefix(i.URL, "http://"))
}

// Rotate gives the issuer a new key; it forgets the old one.
func (i *Issuer) Rotate() { i.t.Helper(); i.control("rotate", nil) }

// Fetches tells how often somebody asked for the keys.
func (i *Issuer) Fetches() int {
	i.t.Helper()
	n, err := strconv.Atoi(i.control("fetches", nil))
	i.must(err)
	return n
}

// Approve is an account that enters the code of a device grant and approves.
func (i *Issuer) Approve(code, account string) {
	i.t.Helper()
	i.control("approve", url.Values{"user_code": {code}, "user": {account}})
}

// Deny is an account that does not approve.
func (i *Issuer) Deny(code string) { i.t.Helper(); i.control("deny", url.Values{"user_code": {code}}) }

// Claims are good ones of an account, to be made worse: claims that the test signs by
// itself, or by Sign.
func (i *Issuer) Claims(account string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": i.URL, "aud": []string{Client}, "sub": account, "iat": now, "exp": now + 300, "tenant": "acme", "groups": []string{"hx-operators"},
	}
}

// Sign signs claims with the key of the issuer, with headers besides alg and kid.
func (i *Issuer) Sign(header, claims map[string]any) string {
	i.t.Helper()
	text, err := json.Marshal(map[string]any{"header": header, "payload": claims})
	i.must(err)
	return i.post("/test/sign", "application/json", string(text))
}

// Tokens are what the issuer gives an account that signs in by the device grant.
func (i *Issuer) Tokens(account string) (id, access string) {
	i.t.Helper()
	var asked struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
	}
	i.form("/device_authorization", url.Values{"client_id": {Client}, "scope": {"openid"}}, &asked)
	i.Approve(asked.User, account)
	var given struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	i.form("/oauth/token", url.Values{
		"client_id": {Client}, "device_code": {asked.Device}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"},
	}, &given)
	return given.ID, given.Access
}

// Renews tells whether the issuer takes a refresh token.
func (i *Issuer) Renews(client, token string) bool {
	i.t.Helper()
	res, err := http.PostForm(i.URL+"/oauth/token", url.Values{"client_id": {client}, "grant_type": {"refresh_token"}, "refresh_token": {token}}) //nolint:noctx // it answers or the test ends
	i.must(err)
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// KeySet is what the issuer publishes.
func (i *Issuer) KeySet() []byte {
	i.t.Helper()
	res, err := http.Get(i.URL + "/keys") //nolint:noctx // it answers or the test ends
	i.must(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	i.must(err)
	return text
}

func (i *Issuer) control(what string, form url.Values) string {
	i.t.Helper()
	return i.post("/test/"+what, "application/x-www-form-urlencoded", form.Encode())
}

func (i *Issuer) form(path string, form url.Values, out any) {
	i.t.Helper()
	i.must(json.Unmarshal([]byte(i.post(path, "application/x-www-form-urlencoded", form.Encode())), out))
}

func (i *Issuer) post(path, contentType, body string) string {
	i.t.Helper()
	res, err := http.Post(i.URL+path, contentType, strings.NewReader(body)) //nolint:noctx // it answers or the test ends
	i.must(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	i.must(err)
	if res.StatusCode != http.StatusOK {
		i.t.Fatalf("%s: %s %s", path, res.Status, text)
	}
	return string(text)
}

func (i *Issuer) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal("the issuer: ", err)
	}
}
