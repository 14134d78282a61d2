//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hypersdk/hypersdk/internal/auth/issuertest"
)

// signIn makes the daemon take the tokens of an issuer.
func signIn(issuer *issuertest.Issuer) string {
	return "security:\n  oidc:\n    issuer: " + issuer.URL + "\n    login: {client_id: " + issuertest.Client + "}\n" +
		"    grants: [{claim: groups, value: hx-operators, tenant: default, role: operator}]\n"
}

func (s *sower) sow(secret, what string) {
	s.Helper()
	if len(secret) < 16 {
		s.Fatalf("%s is %q", what, secret)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds[secret] = what
}

// tokens sends good and bad ones, and lets the programs log in and out.
func (s *sower) tokens(d *daemon, issuer *issuertest.Issuer) {
	id, access := issuer.Tokens(issuertest.Alice)
	expired := issuer.Claims(issuertest.Alice)
	expired["exp"] = 1
	for token, want := range map[string]int{
		id: http.StatusOK, access: http.StatusOK, issuer.Sign(nil, expired): http.StatusUnauthorized, id + "AAAA": http.StatusUnauthorized,
		issuer.Sign(nil, issuer.Claims(issuertest.Mallory)): http.StatusOK,
	} {
		s.sow(token, "a token")
		if status := s.send(http.MethodGet, "/jobs", "", http.Header{"Authorization": {"Bearer " + token}}); status != want {
			s.Errorf("a token: %d, want %d", status, want)
		}
		if status := s.send(http.MethodGet, "/jobs?access_token="+token, "", http.Header{"X-Auth-Token": {token}}); status != http.StatusUnauthorized {
			s.Errorf("a token in the wrong place: %d", status)
		}
	}
	home := filepath.Join(s.TempDir(), "config")
	env := append(os.Environ(), "HYPERVISORD_SERVER="+d.url, "XDG_CONFIG_HOME="+home)
	s.login(env, issuer)
	files, err := filepath.Glob(filepath.Join(home, "hypersdk", "login-*.json"))
	if err != nil || len(files) != 1 {
		s.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		s.Fatal(err)
	}
	var kept struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		s.Fatal(err)
	}
	s.sow(kept.Token, "the token of the login")
	s.sow(kept.Refresh, "the refresh token of the login")
	for _, args := range [][]string{
		{"hyperctl", "whoami"}, {"hyperctl", "jobs", "list"}, {"hyperctl", "doctor"},
		{"hyperctl", "support-bundle", filepath.Join(s.TempDir(), "login.tar.gz")}, {"hyperexport", "vsphere", "list", "--server", d.url}, {"hyperctl", "logout"},
	} {
		cmd := exec.CommandContext(s.Context(), program(args[0]), args[1:]...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if s.search("what "+strings.Join(args, " ")+" says", out); err != nil {
			s.Errorf("%v: %v\n%s", args, err, out)
		}
		if args[1] == "support-bundle" {
			s.searchBundle(args[2])
		}
	}
}

// login goes through the device grant.
func (s *sower) login(env []string, issuer *issuertest.Issuer) {
	cmd := exec.CommandContext(s.Context(), program("hyperctl"), "login")
	cmd.Env = env
	said, err := cmd.StderrPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	lines, all := bufio.NewReader(said), ""
	for approved := false; ; {
		line, err := lines.ReadString('\n')
		if all += line; err == io.EOF {
			break
		}
		if err != nil {
			s.Fatal(err)
		}
		if code := strings.TrimSpace(line); !approved && len(code) == 9 && code[4] == '-' {
			issuer.Approve(code, issuertest.Alice)
			approved = true
		}
	}
	if err := cmd.Wait(); err != nil {
		s.Fatal(err, all)
	}
	s.search("what hyperctl login says", []byte(all))
}
