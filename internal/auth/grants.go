package auth

import (
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Grants say what the claims of a token are worth: the first grant that holds
// counts. Nobody gets anything by default.
type Grants struct {
	// TenantClaim names the tenant of grants that name none.
	TenantClaim string
	List        []Grant
}

// Grant gives a role to tokens of which a claim is, or holds, a value.
type Grant struct {
	Claim  string // a.b: b within a; empty: every token
	Value  string
	Tenant tenant.ID // empty: what the tenant claim says
	Role   tenant.Role
}

// of maps claims. Kind Denied.
func (g Grants) of(claims map[string]any, name string) (tenant.ID, tenant.Role, error) {
	for _, grant := range g.List {
		if grant.Claim != "" && !slices.Contains(values(claims, grant.Claim), grant.Value) {
			continue
		}
		if grant.Tenant != "" {
			return grant.Tenant, grant.Role, nil
		}
		named := values(claims, g.TenantClaim)
		if len(named) != 1 || named[0] == "" {
			return "", "", fault.Newf(fault.Denied, "HX-OIDC-006", "let the issuer put the tenant's id into it, or name the tenant in security.oidc.grants",
				"%s belongs to no tenant: the claim %s of the token does not name one", name, g.TenantClaim)
		}
		return tenant.ID(named[0]), grant.Role, nil
	}
	return "", "", fault.New(fault.Denied, "HX-OIDC-005", name+" is known but may do nothing here: no grant fits its token",
		"ask the platform's administrator for a grant (security.oidc.grants), or the issuer's for a membership")
}

// values are the texts of a claim: itself, or those in its list.
func values(claims map[string]any, path string) []string {
	v, found := claims[path] // a name may hold dots: https://example.com/groups
	if !found {
		v = any(claims)
		for name := range strings.SplitSeq(path, ".") {
			within, _ := v.(map[string]any)
			v = within[name]
		}
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		texts := make([]string, 0, len(v))
		for _, e := range v {
			if text, ok := e.(string); ok {
				texts = append(texts, text)
			}
		}
		return texts
	}
	return nil
}
