package rest_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// unaudited are operations that are no GET and change nothing, or need more than
// the objects of this test: what retention removes is the store's suite's to show.
var unaudited = []string{"query_jobs", "render_profile", "run_retention"}

// TestEveryChangeIsAudited: an operation that changes something leaves an entry;
// and if the entry cannot be written, nothing is changed: then the same call
// succeeds when it can be.
func TestEveryChangeIsAudited(t *testing.T) {
	w := newWorld(t)
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "hypersdk.db")+"?_pragma=busy_timeout(5000)")
	must(t, err)
	defer db.Close()
	exec := func(q string) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), q)
		must(t, err)
	}
	seen := 0
	for path, methods := range fetchDocument(t, w.server).at("paths") {
		for method, op := range methods.(map[string]any) {
			name := fmt.Sprint(op.(map[string]any)["operationId"])
			if method == "get" || slices.Contains(unaudited, name) {
				continue
			}
			seen++
			o := w.changeable(name)
			body := strings.Replace(o.body(name), `"dry_run":true`, `"dry_run":false`, 1)
			call := func() answer {
				return w.call(strings.ToUpper(method), o.path(name, path), body, "X-Api-Key", o.secret, "Content-Type", "application/json")
			}
			if name == "end_session" {
				page := w.signIn(o.secret)
				call = func() answer { return page.call("DELETE", path, "") }
			}
			before := w.logSize()
			exec("CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no entry'); END")
			got := call()
			exec("DROP TRIGGER refuse")
			if got.status < 500 && !strings.Contains(got.body, `"HX-STORE-`) {
				t.Errorf("%s without an entry: %d %s", name, got.status, got.body)
			}
			if got := call(); got.status >= 300 {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
			if after := w.logSize(); after == before {
				t.Errorf("%s left no entry", name)
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d operations change something", seen)
	}
}

// changeable makes objects that the operation can change.
func (w *world) changeable(name string) objects {
	w.t.Helper()
	ctx, o := w.t.Context(), w.tenant("changed-"+strings.ReplaceAll(name, "_", "-"), tenant.Platform)
	us := tenant.NewPrincipal(o.tenant, "us", tenant.All()...)
	switch name {
	case "update_job", "pause_job", "resume_job", "cancel_job", "cancel_jobs", "set_job_bandwidth":
		r, err := w.svc.Submit(ctx, us, []job.Spec{{VMPath: "/DC/vm/web-01"}}, service.SubmitOptions{})
		must(w.t, err)
		o.job = r.Jobs[0].ID
	}
	var err error
	switch name {
	case "resume_job":
		_, err = w.svc.Pause(ctx, us, o.job, "")
	case "resume_schedule":
		_, err = w.svc.PauseSchedule(ctx, us, o.schedule)
	case "enable_webhook":
		_, err = w.svc.DisableWebhook(ctx, us, o.webhook)
	case "resume_tenant":
		paused := true
		_, err = w.svc.ChangeTenant(ctx, us, o.tenant, service.TenantChange{Paused: &paused})
	}
	must(w.t, err)
	return o
}

func (w *world) logSize() int64 {
	w.t.Helper()
	_, err := w.store.Sequence(w.t.Context(), 1000)
	must(w.t, err)
	page, err := service.NewAudit(w.store).Entries(w.t.Context(), root(), service.AuditQuery{Limit: 1})
	must(w.t, err)
	if len(page.Entries) == 0 {
		return 0
	}
	return page.Entries[0].Pos
}

// TestRefusedAttempts: the gate tells of each attempt that was refused, and of no
// other.
func TestRefusedAttempts(t *testing.T) {
	var (
		mu   sync.Mutex
		told []string
	)
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Gate.OnDenied(func(d gate.Denial) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %s %s %s", d.Principal.Name(), d.Operation, d.Credential.Reveal(), d.Principal.Origin().IP))
		})
	})
	o := w.tenant("refused", tenant.Viewer)
	for _, c := range []struct{ method, path, body, secret, want string }{
		{"GET", "/jobs", "", "hvk_WRONG", " enter hvk_WRONG 127.0.0.1"},
		{"POST", "/jobs/submit", spec, o.secret, "submit_jobs  127.0.0.1"},
		{"GET", "/jobs", "", o.secret, ""},
		{"GET", "/jobs/none", "", o.secret, ""},
		{"POST", "/jobs/none/cancel", "", key, "key:test cancel_job  127.0.0.1"},
		{"POST", "/jobs/query", "{}", o.secret, ""},
	} {
		told = nil
		answered := w.call(c.method, c.path, c.body, "X-Api-Key", c.secret, "Content-Type", "application/json")
		mu.Lock()
		if got := strings.Join(told, "; "); !strings.HasSuffix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s %s: %q, want %q; answered %d %s", c.method, c.path, got, c.want, answered.status, answered.body)
		}
		mu.Unlock()
	}
}
