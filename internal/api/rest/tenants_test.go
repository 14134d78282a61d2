package rest_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// with is a client with another key, whose answers are compared with the
// document, too.
func (w *world) with(key string) *client.Client {
	w.t.Helper()
	c, err := client.New(w.server.URL, client.Options{APIKey: key, HTTPClient: w.http})
	must(w.t, err)
	return c
}

// wantStatus checks an error of the client.
func (w *world) wantStatus(err error, status int, code string) {
	w.t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != status || e.Code != code {
		w.t.Errorf("got %v, want %d %s", err, status, code)
	}
}

func TestTenantsAndKeys(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	queued, storage := int64(2), int64(5)
	made, err := w.api.CreateTenant(ctx, client.TenantRequest{ID: "acme", TenantChange: client.TenantChange{MaxQueuedJobs: &queued, MaxStorageGB: &storage}})
	must(t, err)
	if made.Name != "acme" || made.State != "active" || made.Weight != 1 || made.MaxQueuedJobs != 2 || made.MaxStorageGB != 5 || made.MaxBandwidthMbps != 0 {
		t.Errorf("%+v", made)
	}
	_, err = w.api.CreateTenant(ctx, client.TenantRequest{ID: "acme"})
	w.wantStatus(err, 409, "HX-TENANT-006")
	first, err := w.api.CreateKey(ctx, "acme", client.KeyRequest{Name: "first", Role: "admin"})
	must(t, err)
	acme := w.with(first.Secret)
	ci, err := acme.CreateKey(ctx, "", client.KeyRequest{Name: "ci", Role: "operator", Scopes: []string{"job:read", "job:submit"}})
	must(t, err)
	if ci.Key.Tenant != "acme" || !strings.HasPrefix(ci.Secret, ci.Key.Prefix) || !strings.HasPrefix(ci.Key.CreatedBy, "key:first/") {
		t.Errorf("%+v", ci.Key)
	}

	// The quota: what fits is taken, the rest refused, and then everything.
	spec := client.Spec{VMPath: "/DC/vm/web-01"}
	worker := w.with(ci.Secret)
	s, err := worker.Submit(ctx, spec, spec, spec)
	must(t, err)
	if s.Accepted != 2 || s.Rejected != 1 || s.Errors[0].Code != "HX-QUOTA-001" || *s.Errors[0].Index != 2 {
		t.Errorf("%+v", s)
	}
	got := w.call("POST", "/jobs/submit", `{"vm_path":"/DC/vm/web-01"}`, "X-Api-Key", ci.Secret)
	if p := got.problem(t); got.status != 429 || p.Code != "HX-QUOTA-001" || !strings.Contains(p.Detail, "2 jobs waiting and may have 2") || p.Fix == "" || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v", got)
	}
	if page, err := worker.Query(ctx, client.Query{}); err != nil || page.Total != 2 || page.Jobs[0].Tenant != "acme" {
		t.Errorf("%+v %v", page, err)
	}
	if page, err := w.api.Query(ctx, client.Query{}); err != nil || page.Total != 0 {
		t.Errorf("the platform's own list has %d jobs of another tenant, %v", page.Total, err)
	}

	// Rotation and revocation.
	next, err := acme.RotateKey(ctx, ci.Key.ID, time.Hour)
	must(t, err)
	for _, secret := range []string{ci.Secret, next.Secret} {
		if _, err := w.with(secret).Status(ctx); err != nil {
			t.Error(err)
		}
	}
	_, err = acme.RevokeKey(ctx, "", ci.Key.ID)
	must(t, err)
	_, err = worker.Status(ctx)
	w.wantStatus(err, 401, "HX-AUTH-013")
	keys, err := acme.Keys(ctx, "")
	must(t, err)
	if len(keys) != 3 || keys[1].LastUsedAt == nil || keys[1].RevokedAt == nil || keys[2].RevokedAt != nil || keys[2].Scopes[1] != "job:submit" {
		t.Errorf("%+v", keys)
	}
	if theirs, err := w.api.Keys(ctx, "acme"); err != nil || len(theirs) != 3 {
		t.Errorf("the platform sees %d keys, %v", len(theirs), err)
	}

	// Pause, change, delete.
	if p, err := w.api.PauseTenant(ctx, "acme"); err != nil || !p.Paused {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := w.api.ResumeTenant(ctx, "acme"); err != nil || p.Paused {
		t.Errorf("%+v %v", p, err)
	}
	mbps := int64(800)
	if p, err := w.api.ChangeTenant(ctx, "acme", client.TenantChange{MaxBandwidthMbps: &mbps}); err != nil || p.MaxBandwidthMbps != 800 || p.MaxQueuedJobs != 2 {
		t.Errorf("%+v %v", p, err)
	}
	if a, err := w.svc.Tenant(ctx, root(), "acme"); err != nil || a.MaxBandwidthBytes != 100_000_000 || a.MaxStorageBytes != 5_000_000_000 {
		t.Errorf("in bytes: %+v %v", a, err)
	}
	if mine, err := acme.Tenants(ctx); err != nil || len(mine) != 1 || mine[0].ID != "acme" {
		t.Errorf("%+v %v", mine, err)
	}
	gone, err := w.api.DeleteTenant(ctx, "acme")
	must(t, err)
	if gone.State != "deleted" {
		t.Errorf("with waiting jobs only it is %s", gone.State)
	}
	_, err = w.api.DeleteTenant(ctx, "acme")
	w.wantStatus(err, 404, "HX-TENANT-001")
	_, err = acme.Status(ctx)
	w.wantStatus(err, 401, "HX-AUTH-013")

	// No key is in the log or the events.
	events, err := w.store.Reader(scopeOf(t, "acme")).Events(ctx, "", 0, 100)
	must(t, err)
	text, err := json.Marshal(events)
	must(t, err)
	for _, secret := range []string{first.Secret, ci.Secret, next.Secret} {
		if strings.Contains(w.log.String()+string(text), secret) || strings.Contains(string(text), secret[13:]) {
			t.Error("a key is in the log")
		}
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "tenant.created key.created key.created key.rotated key.revoked tenant.changed tenant.changed tenant.changed tenant.draining tenant.deleted" {
		t.Errorf("events: %s", got)
	}
}

func scopeOf(t *testing.T, id tenant.ID) tenant.Scope {
	t.Helper()
	s, err := root().ScopeOf(id, tenant.TenantRead, tenant.PlatformRead)
	must(t, err)
	return s
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.submit(1)
	w.complete(w.claim())
	month := time.Now().UTC().Format("2006-01")
	report, err := w.api.Usage(ctx, "default", month, month)
	must(t, err)
	if len(report.Months) != 1 || report.Months[0].Month != month || report.Months[0].Completed != 1 || report.Months[0].BytesStored != 7 {
		t.Errorf("%+v", report)
	}
	text, err := w.api.UsageCSV(ctx, "default", "", "")
	must(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	must(t, err)
	if len(rows) != 2 || !slices.Equal(rows[0][:3], []string{"tenant", "month", "jobs_completed"}) || !slices.Equal(rows[1][:5], []string{"default", month, "1", "0", "0"}) || rows[1][7] != "7" {
		t.Errorf("%v", rows)
	}
	for accept, want := range map[string]string{
		"text/csv": "text/csv; charset=utf-8", "application/json;q=0.1, text/csv": "text/csv; charset=utf-8", "*/*": "application/json", "": "application/json",
	} {
		if got := w.call("GET", "/tenants/default/usage", "", "Accept", accept); got.header.Get("Content-Type") != want {
			t.Errorf("%q: %+v", accept, got)
		}
	}
	if got := w.call("GET", "/tenants/default/usage?from=2030-01", ""); got.status != 200 || !strings.Contains(got.body, `"months":[]`) {
		t.Errorf("%+v", got)
	}
}

func TestTenantsRefuse(t *testing.T) {
	w := newWorld(t)
	_, err := w.svc.CreateTenant(t.Context(), root(), "acme", service.TenantChange{})
	must(t, err)
	key := "/keys"
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"no id":             {"POST", "/tenants", `{}`, 400},
		"a path":            {"POST", "/tenants", `{"id":"../x"}`, 422},
		"NUL":               {"POST", "/tenants", `{"id":"a\u0000"}`, 422},
		"capitals":          {"POST", "/tenants", `{"id":"Acme"}`, 422},
		"unknown key":       {"POST", "/tenants", `{"id":"x","max_disks":1}`, 400},
		"key twice":         {"POST", "/tenants", `{"id":"x","id":"y"}`, 400},
		"no number":         {"PATCH", "/tenants/acme", `{"weight":"1"}`, 400},
		"fraction":          {"PATCH", "/tenants/acme", `{"max_queued_jobs":1.5}`, 400},
		"negative queue":    {"PATCH", "/tenants/acme", `{"max_queued_jobs":-1}`, 422},
		"negative storage":  {"PATCH", "/tenants/acme", `{"max_storage_gb":-1}`, 400},
		"storage overflows": {"PATCH", "/tenants/acme", `{"max_storage_gb":9223372036854775807}`, 400},
		"huge number":       {"PATCH", "/tenants/acme", `{"max_queued_jobs":1e30}`, 400},
		"no weight":         {"PATCH", "/tenants/acme", `{"weight":0}`, 422},
		"no such tenant":    {"PATCH", "/tenants/nobody", `{"weight":1}`, 404},
		"the default":       {"DELETE", "/tenants/default", ``, 409},
		"state":             {"PATCH", "/tenants/acme", `{"state":"deleted"}`, 400},
		"no name":           {"POST", key, `{"role":"viewer"}`, 400},
		"no role":           {"POST", key, `{"name":"x"}`, 400},
		"another role":      {"POST", key, `{"name":"x","role":"root"}`, 400},
		"empty name":        {"POST", key, `{"name":"","role":"viewer"}`, 422},
		"escape in a name":  {"POST", key, `{"name":"\u001b[2J","role":"viewer"}`, 422},
		"scope of another":  {"POST", key, `{"name":"x","role":"viewer","scopes":["job:submit"]}`, 422},
		"no such scope":     {"POST", key, `{"name":"x","role":"platform","scopes":["*"]}`, 422},
		"expired":           {"POST", key, `{"name":"x","role":"viewer","expires_at":"2020-01-01T00:00:00Z"}`, 422},
		"no time":           {"POST", key, `{"name":"x","role":"viewer","expires_at":"tomorrow"}`, 400},
		"for a stranger":    {"POST", "/tenants/nobody/keys", `{"name":"x","role":"viewer"}`, 404},
		"no such key":       {"DELETE", "/keys/x", ``, 404},
		"rotate no key":     {"POST", "/keys/x/rotate", `{}`, 404},
		"no overlap":        {"POST", "/keys/x/rotate", `{"overlap":"soon"}`, 400},
		"long overlap":      {"POST", "/keys/x/rotate", `{"overlap":"9999h"}`, 422},
		"no month":          {"GET", "/tenants/acme/usage?from=2026-13", ``, 400},
		"no format":         {"GET", "/tenants/acme/usage?format=xml", ``, 400},
		"no such usage":     {"GET", "/tenants/nobody/usage", ``, 404},
	} {
		got := w.call(c.method, c.path, c.body, "Content-Type", "application/json")
		if got.status != c.status || got.problem(t).Code == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	all, err := w.svc.Tenants(t.Context(), root())
	must(t, err)
	keys, err := w.svc.Keys(t.Context(), root(), "")
	must(t, err)
	if len(all) != 2 || len(keys) != 0 || all[0].Weight != 1 || all[0].MaxQueuedJobs != 0 {
		t.Errorf("something is stored: %+v %+v", all, keys)
	}
}
