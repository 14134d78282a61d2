package gate

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Denial is an attempt that was refused.
type Denial struct {
	Principal  tenant.Principal // knows its Origin; of nobody if Credential is not known
	Operation  string           // as the OpenAPI document names it, or enter
	Credential secret.Secret    // what nobody knows; may be empty
	Err        error
}

// OnDenied sets who is told of refused attempts, which must return at once. Call it
// before the first request.
func (g *Gate) OnDenied(f func(d Denial)) { g.denied = f }

// Refused tells of an error of an operation. It counts as an attempt if the caller
// lacks the permission, or wants to change what is not there: a stranger's looks
// like that.
func (g *Gate) Refused(_ context.Context, p tenant.Principal, operation string, err error) {
	if g.denied == nil || err == nil {
		return
	}
	if kind := fault.KindOf(err); kind == fault.Denied || kind == fault.NotFound && Changes(operation) {
		g.denied(Denial{Principal: p, Operation: operation, Err: err})
	}
}

// turnedAway tells of a caller that was not let in.
func (g *Gate) turnedAway(r *http.Request, o tenant.Origin, err error) {
	if kind := fault.KindOf(err); g.denied == nil || kind != fault.Unauthenticated && kind != fault.Denied && kind != fault.NotFound {
		return
	}
	_, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	g.denied(Denial{
		Principal: tenant.Principal{}.From(o), Operation: "enter",
		Credential: secret.New(cmp.Or(r.Header.Get("X-Api-Key"), bearer)), Err: err,
	})
}

// reads are how the names of operations begin, or are, that change nothing.
var reads = []string{"get_", "list_", "query_", "explain_", "render_", "job_events", "schedule_runs", "tenant_usage", "export_", "audit_"}

// Changes tells whether an operation changes anything.
func Changes(operation string) bool {
	for _, r := range reads {
		if strings.HasPrefix(operation, r) {
			return false
		}
	}
	return true
}
