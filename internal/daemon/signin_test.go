package daemon

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/auth/issuertest"
)

// signInHouse is a daemon that takes keys and the tokens of a real issuer.
func signInHouse(t *testing.T, edit func(*Config)) (*observed, *issuertest.Issuer, string) {
	t.Helper()
	issuer := issuertest.Start(t)
	o := newObserved(t, func(c *Config) {
		c.Auth.Disabled = false
		c.Security.OIDC.Issuer, c.Security.OIDC.Login.ClientID, c.Security.OIDC.TenantClaim = issuer.URL, issuertest.Client, "tenant"
		c.Security.OIDC.Grants = []GrantConfig{
			{Claim: "groups", Value: "hx-platform", Tenant: "default", Role: "platform"},
			{Claim: "groups", Value: "hx-operators", Role: "admin"}, {Claim: "groups", Value: "staff", Role: "viewer"},
		}
		if edit != nil {
			edit(c)
		}
		c.complete()
		if err := c.check(); err != nil {
			t.Fatal(err)
		}
	})
	key, err := os.ReadFile(o.cfg.Auth.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + strings.TrimSpace(string(key))
	if status, answer := o.ask("POST", "/tenants", `{"id":"acme"}`, "Content-Type", "application/json", "Authorization", bearer); status != 201 {
		t.Fatal(status, answer)
	}
	return o, issuer, bearer
}

// TestTokensByEveryDoor: the tokens of a real issuer open every door, for what their
// claims are worth, beside the keys; without the issuer those go on whose key is known.
func TestTokensByEveryDoor(t *testing.T) {
	o, issuer, bearer := signInHouse(t, func(c *Config) {
		c.Security.RateLimit.Burst, c.Security.RateLimit.PerEndpoint = 20, map[string]int{"/status": 1}
	})
	sent := []string{"Content-Type", "application/json", "Authorization"}
	token := func(account string) string { id, _ := issuer.Tokens(account); return "Bearer " + id }
	alice, bob := token(issuertest.Alice), token(issuertest.Bob)
	doors := map[string]func(who string) (int, string){
		"rest": func(who string) (int, string) { return o.ask("GET", "/jobs", "", append(sent, who)...) },
		"grpc": func(who string) (int, string) {
			return o.ask("POST", "/hypervisord.v1.HypervisordService/ListKeys", "{}", append(sent, who)...)
		},
		"graphql": func(who string) (int, string) {
			return o.ask("POST", "/graphql", `{"query":"{jobs{id}}"}`, append(sent, who)...)
		},
	}
	for name, ask := range doors {
		for who, want := range map[string]int{
			alice: 200, bearer: 200, token(issuertest.Root): 200, token(issuertest.Mallory): 403, token(issuertest.Lost): 404,
			alice + "x": 401, "Bearer " + issuer.Sign(nil, with(issuer.Claims("alice"), "aud", "somebody")): 401,
		} {
			if status, answer := ask(who); status != want {
				t.Errorf("%s by %.20s…: %d, want %d: %s", name, who, status, want, answer)
			}
		}
	}
	if status, answer := o.ask("GET", "/whoami", "", append(sent, alice)...); status != 200 ||
		!strings.Contains(answer, `"actor":"oidc:alice@`+issuer.URL+`"`) || !strings.Contains(answer, `"tenant":"acme"`) || !strings.Contains(answer, `"key:write"`) {
		t.Errorf("%d %s", status, answer)
	}
	for who, want := range map[string]int{alice: 201, bob: 403} {
		if status, answer := o.ask("POST", "/keys", `{"name":"k","role":"viewer"}`, append(sent, who)...); status != want {
			t.Errorf("%d, want %d: %s", status, want, answer)
		}
	}
	turns := 0
	for ; turns < 100; turns++ { // a limit counts for each of them
		if status, _ := o.ask("GET", "/status", "", append(sent, alice)...); status != 200 {
			break
		}
	}
	if status, answer := o.ask("GET", "/status", "", append(sent, bob)...); turns != 20 || status != 200 {
		t.Errorf("alice had %d turns, and then bob got %d %s", turns, status, answer)
	}
	o.audited(issuer.URL, append(sent, bearer))

	issuer.Down()
	if status, answer := o.ask("GET", "/jobs", "", append(sent, alice)...); status != 200 {
		t.Errorf("a token whose key is known, without the issuer: %d %s", status, answer)
	}
	o.stop()
	o.start()
	for name, ask := range doors {
		if status, answer := ask(alice); status != http.StatusServiceUnavailable {
			t.Errorf("%s without the issuer's keys: %d %s", name, status, answer)
		}
		if status, answer := ask(bearer); status != 200 {
			t.Errorf("%s by a key: %d %s", name, status, answer)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.daemon.URL()+"/jobs", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", alice)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if _, metrics := o.ask("GET", "/metrics", ""); !strings.Contains(metrics, `hypervisord_oidc_key_fetches_total{outcome="failed"} 1`) || len(o.log.with("keys of the issuer")) == 0 {
		t.Error("nobody tells of the issuer that does not answer")
	}
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
}

// audited: the log names the people behind the tokens, and those refused.
func (o *observed) audited(issuer string, header []string) {
	o.Helper()
	var page struct {
		Entries []struct {
			Event string `json:"event"`
			Actor struct {
				Type string `json:"type"`
				ID   string `json:"id"`
			} `json:"actor"`
			Metadata struct {
				Code string `json:"code"`
			} `json:"metadata"`
		} `json:"items"`
	}
	o.eventually("the audit to tell of the tokens", func() bool {
		_, answer := o.ask("GET", "/audit?limit=200", "", header...)
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			o.Fatal(answer)
		}
		told := map[string]bool{}
		for _, e := range page.Entries {
			told[strings.TrimSpace(strings.Join([]string{e.Event, e.Actor.Type, e.Actor.ID, e.Metadata.Code}, " "))] = true
		}
		return told["key.created user oidc:alice@"+issuer] && told["access.denied user oidc:bob@"+issuer+" HX-AUTH-002"] &&
			told["access.denied anonymous anonymous HX-OIDC-005"] && told["access.denied anonymous anonymous HX-TENANT-001"]
	})
}

func with(claims map[string]any, name string, v any) map[string]any {
	claims[name] = v
	return claims
}

// TestSignInConfig: what cannot work, or would let in too many, stops the start.
func TestSignInConfig(t *testing.T) {
	t.Parallel()
	const grants = "grants: [{claim: groups, value: a, tenant: default, role: viewer}]"
	oidc := func(keys string) string { return "security: {oidc: {" + keys + "}}" }
	good := "issuer: 'https://login.example.com', audiences: [hypervisord], " + grants
	mtls := func(keys string) string { return "tls: {cert_file: /x, key_file: /y, " + keys + "}" }
	for text, want := range map[string]string{
		oidc(good): "",
		oidc("issuer: 'http://127.0.0.1:5556/dex', login: {client_id: hyperctl}, " + grants): "",
		oidc("issuer: 'http://login.example.com', audiences: [a], " + grants):                "is not https",
		oidc("issuer: 'https://u:p@login.example.com', audiences: [a], " + grants):           "security.oidc.issuer",
		oidc("issuer: login, audiences: [a], " + grants):                                     "security.oidc.issuer",
		oidc("audiences: [a]"):                      "security.oidc.issuer: is missing",
		oidc("issuer: 'https://a', " + grants):      "security.oidc.audiences",
		oidc("issuer: 'https://a', audiences: [a]"): "security.oidc.grants",
		oidc("issuer: 'https://a', audiences: [a], grants: [{claim: g, value: a, role: viewer}]"):          "no tenant_claim",
		oidc("issuer: 'https://a', audiences: [a], grants: [{claim: g, value: a, tenant: t, role: root}]"): "gives no role",
		oidc("issuer: 'https://a', audiences: [a], grants: [{claim: g, tenant: t, role: viewer}]"):         "both claim and value",
		oidc(good + ", algorithms: [none]"):            `"none" is none of`,
		oidc(good + ", algorithms: [HS256]"):           `"HS256" is none of`,
		oidc(good + ", clock_skew: 1h"):                "clock_skew",
		oidc(good + ", login: {token: refresh_token}"): "login.token",
		oidc(good+", mystery: 1") + "\n":               "mystery",
		"auth: {disabled: true}\n" + oidc(good):        "auth.disabled",
		mtls("client_auth: optional, client_ca_file: /ca, clients: [{certificate: 'cn:a', tenant: t, role: viewer}]"): "",
		mtls("client_auth: maybe"):                                        "client_auth",
		mtls("client_auth: required"):                                     "client_ca_file",
		"tls: {client_auth: required, client_ca_file: /ca}":               "cert_file",
		mtls("clients: [{certificate: 'cn:a', tenant: t, role: viewer}]"): "client_auth is off",
		mtls("client_auth: optional, client_ca_file: /ca, clients: [{certificate: a, tenant: t, role: viewer}]"):                                                      "entry 1",
		mtls("client_auth: optional, client_ca_file: /ca, clients: [{certificate: 'cn:a', tenant: t}]"):                                                               "needs a tenant, and a role",
		mtls("client_auth: optional, client_ca_file: /ca, clients: [{certificate: 'cn:a', tenant: t, role: viewer}, {certificate: 'cn:a', tenant: u, role: viewer}]"): "one before",
	} {
		_, err := Load(write(t, text), none, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
