package tenant_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Each role holds all that the one before holds, and the last holds everything.
func TestRolesGrow(t *testing.T) {
	var before []tenant.Permission
	for _, r := range tenant.Roles() {
		has := r.Permissions()
		if len(has) <= len(before) || !slices.Equal(has[:len(before)], before) {
			t.Errorf("%s has %v, the one before %v", r, has, before)
		}
		before = has
	}
	if got := tenant.Role("root").Permissions(); got != nil || tenant.Role("root").Valid() {
		t.Errorf("an unknown role has %v", got)
	}
	for _, p := range tenant.Admin.Permissions() {
		if strings.HasPrefix(string(p), "platform:") {
			t.Errorf("an admin has %s", p)
		}
	}
}

// Whoever adds a permission must say which role has it: All is what the roles
// have.
func TestEveryPermissionIsInARole(t *testing.T) {
	text, err := os.ReadFile("tenant.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^\t\w+ +Permission = "([a-z:]+)"`).FindAllStringSubmatch(string(text), -1)
	if len(named) != len(tenant.All()) {
		t.Errorf("%d permissions are named, %d are in roles", len(named), len(tenant.All()))
	}
	for _, n := range named {
		if !slices.Contains(tenant.All(), tenant.Permission(n[1])) {
			t.Errorf("no role has %s", n[1])
		}
	}
}

// A tenant that is named is reached by its own people and by the platform's; to
// everybody else it is not there.
func TestScopeOf(t *testing.T) {
	p := func(perms ...tenant.Permission) tenant.Principal { return tenant.NewPrincipal("ours", "us", perms...) }
	for name, c := range map[string]struct {
		who  tenant.Principal
		id   tenant.ID
		want string // a tenant, or a kind
	}{
		"own, not named":      {p(tenant.KeyRead), "", "ours"},
		"own":                 {p(tenant.KeyRead), "ours", "ours"},
		"own, no permission":  {p(tenant.KeyWrite), "ours", "denied"},
		"own, platform":       {p(tenant.PlatformRead), "ours", "ours"},
		"theirs":              {p(tenant.KeyRead), "theirs", "not_found"},
		"theirs, platform":    {p(tenant.PlatformRead), "theirs", "theirs"},
		"theirs, other right": {p(tenant.PlatformWrite), "theirs", "not_found"},
		"nobody":              {tenant.Principal{}, "ours", "unauthenticated"},
		"nobody, not named":   {tenant.Principal{}, "", "unauthenticated"},
	} {
		s, err := c.who.ScopeOf(c.id, tenant.KeyRead, tenant.PlatformRead)
		got := string(s.Tenant())
		if err != nil {
			got += fault.KindOf(err).String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if s := (tenant.PlatformScope{}).Of("ours"); s != (tenant.Scope{}) {
		t.Errorf("the zero handle reaches %s", s.Tenant())
	}
}

func TestAdmit(t *testing.T) {
	for name, c := range map[string]struct {
		a       tenant.Account
		n       int
		waiting int64
		want    int
		code    string
	}{
		"no limit":       {tenant.Account{}, 5, 0, 5, ""},
		"room":           {tenant.Account{Limits: tenant.Limits{MaxQueuedJobs: 10}}, 5, 5, 5, ""},
		"some room":      {tenant.Account{Limits: tenant.Limits{MaxQueuedJobs: 10}}, 5, 7, 3, "HX-QUOTA-001"},
		"no room":        {tenant.Account{Limits: tenant.Limits{MaxQueuedJobs: 10}}, 1, 10, 0, "HX-QUOTA-001"},
		"lowered limit":  {tenant.Account{Limits: tenant.Limits{MaxQueuedJobs: 2}}, 1, 9, 0, "HX-QUOTA-001"},
		"storage left":   {tenant.Account{StoredBytes: 9, Limits: tenant.Limits{MaxStorageBytes: 10}}, 1, 0, 1, ""},
		"storage full":   {tenant.Account{StoredBytes: 10, Limits: tenant.Limits{MaxStorageBytes: 10}}, 1, 0, 0, "HX-QUOTA-002"},
		"no storage cap": {tenant.Account{StoredBytes: 10}, 1, 0, 1, ""},
		"draining":       {tenant.Account{State: tenant.Draining}, 1, 0, 0, "HX-TENANT-003"},
	} {
		if c.a.State == "" {
			c.a.State = tenant.Active
		}
		n, err := c.a.Admit(c.n, c.waiting)
		code := ""
		if err != nil {
			code = fault.As(err).Code
		}
		if n != c.want || code != c.code {
			t.Errorf("%s: %d %v", name, n, err)
		}
	}
}

func TestAccountRefuses(t *testing.T) {
	good := tenant.Account{ID: "acme", Name: "Acme GmbH & Co", Limits: tenant.Limits{Weight: 1}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(a *tenant.Account){
		"no id":              func(a *tenant.Account) { a.ID = "" },
		"capitals":           func(a *tenant.Account) { a.ID = "Acme" },
		"a path":             func(a *tenant.Account) { a.ID = "../x" },
		"a hyphen in front":  func(a *tenant.Account) { a.ID = "-x" },
		"a line break":       func(a *tenant.Account) { a.ID = "x\n" },
		"long id":            func(a *tenant.Account) { a.ID = tenant.ID(strings.Repeat("x", 64)) },
		"no name":            func(a *tenant.Account) { a.Name = "" },
		"NUL in the name":    func(a *tenant.Account) { a.Name = "a\x00" },
		"an escape":          func(a *tenant.Account) { a.Name = "\x1b[2J" },
		"bad UTF-8":          func(a *tenant.Account) { a.Name = "\xff" },
		"no weight":          func(a *tenant.Account) { a.Weight = 0 },
		"negative":           func(a *tenant.Account) { a.MaxQueuedJobs = -1 },
		"huge":               func(a *tenant.Account) { a.MaxQueuedJobs = 1e9 },
		"negative slots":     func(a *tenant.Account) { a.MaxConcurrentJobs = -1 },
		"negative storage":   func(a *tenant.Account) { a.MaxStorageBytes = -1 },
		"negative bandwidth": func(a *tenant.Account) { a.MaxBandwidthBytes = -1 },
		"negative account":   func(a *tenant.Account) { a.StoredBytes = -1 },
	} {
		a := good
		edit(&a)
		if err := a.Validate(); !fault.Is(err, fault.Unprocessable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	past, future, far := now.Add(-time.Second), now.Add(time.Second), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, k := range map[string]tenant.Key{
		"no name":       {Role: tenant.Viewer},
		"a path":        {Name: "../x", Role: tenant.Viewer},
		"no role":       {Name: "x"},
		"another role":  {Name: "x", Role: "root"},
		"foreign scope": {Name: "x", Role: tenant.Viewer, Scopes: []tenant.Permission{tenant.JobSubmit}},
		"expired":       {Name: "x", Role: tenant.Viewer, ExpiresAt: &now},
		"far future":    {Name: "x", Role: tenant.Viewer, ExpiresAt: &far},
	} {
		if err := k.Validate(now); !fault.Is(err, fault.Unprocessable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := tenant.Key{Tenant: "ours", Name: "ci", Role: tenant.Operator, Scopes: []tenant.Permission{tenant.JobRead, tenant.KeyWrite}, ExpiresAt: &future}
	p, err := k.Principal(now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Scope(tenant.JobRead); err != nil {
		t.Error(err)
	}
	for _, beyond := range []tenant.Permission{tenant.JobSubmit, tenant.KeyWrite} { // not a scope, not of the role
		if _, err := p.Scope(beyond); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", beyond, err)
		}
	}
	k.ExpiresAt = &past
	if _, err := k.Principal(now); !fault.Is(err, fault.Unauthenticated) || fault.As(err).Code != "HX-AUTH-014" {
		t.Error(err)
	}
	k.RevokedAt = &past
	if _, err := k.Principal(now); !fault.Is(err, fault.Unauthenticated) || fault.As(err).Code != "HX-AUTH-013" {
		t.Error(err)
	}
	secret := tenant.NewSecret()
	k.Seal(secret)
	text := secret.Reveal()
	if !strings.HasPrefix(text, k.Prefix) || len(text) < 50 || len(k.Prefix) > 12 || strings.Contains(fmt.Sprintf("%+v", k), text) {
		t.Errorf("%d characters, %s is visible", len(text), k.Prefix)
	}
}

func TestMonths(t *testing.T) {
	if m := tenant.MonthOf(time.Date(2026, 1, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600))); m != "2025-12" {
		t.Error(m)
	}
	for _, bad := range []tenant.Month{"", "2026", "2026-13", "2026-1", "26-01", "2026-01-01", "x"} {
		if err := bad.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
