package rest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// profiledWorld has a directory of profiles: base, the roadmap's prod-backup, and
// a file that is none.
func profiledWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	roadmap, err := os.ReadFile("../../../examples/profiles/prod-backup.yaml")
	must(t, err)
	for id, text := range map[string]string{"base": "name: Base\ndefaults: {format: qcow2}\n", "prod-backup": string(roadmap), "bad": "x: 1\n"} {
		must(t, os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600))
	}
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	return newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Service = service.New(st, service.Deps{Validator: validator{}, Feed: st, Files: profile.NewDirs(dir)})
	})
}

func TestProfilesByClient(t *testing.T) {
	w := profiledWorld(t)
	ctx := t.Context()
	put, err := w.api.PutProfile(ctx, "nightly", []byte("name: Nightly\nextends: base\ndefaults: {bandwidth_limit: 20000000, labels: {wave: night}}\n"), "application/yaml")
	must(t, err)
	got, err := w.api.Profile(ctx, "nightly")
	must(t, err)
	if !reflect.DeepEqual(put, got) || got.Source != "tenant" || got.Extends != "base" || got.Defaults.BandwidthLimit != "20000000" || got.UpdatedAt == nil || got.Text == "" {
		t.Errorf("%+v, %+v", put, got)
	}
	all, err := w.api.Profiles(ctx)
	must(t, err)
	var ids []string
	for _, p := range all {
		ids = append(ids, p.ID+" "+p.Source)
		if (p.Problem != "") != (p.ID == "bad") || p.Text != "" {
			t.Errorf("%+v", p)
		}
	}
	if want := "bad file, base file, nightly tenant, prod-backup file"; strings.Join(ids, ", ") != want {
		t.Errorf("%v", ids)
	}
	r, err := w.api.RenderProfile(ctx, "nightly", client.Spec{Labels: map[string]string{"a": "b"}})
	must(t, err)
	if r.Spec.Format != "qcow2" || r.Spec.Labels["wave"] != "night" || r.Spec.Labels["a"] != "b" || r.Spec.Verify != "full" || !reflect.DeepEqual(r.Chain, []string{"nightly", "base"}) {
		t.Errorf("%+v", r)
	}
	s, err := w.api.Submit(ctx, client.Spec{VMPath: "/DC/vm/web-01", Profile: "prod-backup"})
	must(t, err)
	j, err := w.api.Get(ctx, s.JobIDs[0])
	must(t, err)
	if j.Spec.BandwidthLimit != "50MB" || j.Spec.CompressionLvl != 6 || j.Spec.Profile != "prod-backup" || j.Spec.ProfileDigest == "" || j.Spec.VerifyChecksum == nil {
		t.Errorf("%+v", j.Spec)
	}
	j, err = w.api.SetBandwidth(ctx, j.ID, "20MB", "Mon-Fri 08:00-18:00 UTC = 5MB")
	must(t, err)
	if j.Spec.BandwidthLimit != "20MB" || len(j.Spec.BandwidthWindows) != 1 {
		t.Errorf("%+v", j.Spec)
	}
	was, err := w.api.DeleteProfile(ctx, "nightly")
	must(t, err)
	if was.Name != "Nightly" {
		t.Errorf("%+v", was)
	}
	if got := w.call("GET", "/profiles/nightly", ""); got.status != http.StatusNotFound {
		t.Errorf("%+v", got)
	}
}

// TestBadProfiles: each mistake is refused for what it is, and leaves nothing.
func TestBadProfiles(t *testing.T) {
	w := profiledWorld(t)
	const js, yaml = "application/json", "application/yaml"
	must(t, second(w.api.PutProfile(t.Context(), "mid", []byte(`{"extends":"base"}`), js)))
	must(t, second(w.api.PutProfile(t.Context(), "leaf", []byte(`{"extends":"mid"}`), js)))
	id := w.submit(1)[0]
	before, err := w.api.Profiles(t.Context())
	must(t, err)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ndefaults: *b\n"
	for _, c := range []struct {
		name, method, path, contentType, body string
		status                                int
		says                                  string
	}{
		{"empty", "PUT", "/profiles/p", yaml, "", 400, "body is required"},
		{"unknown key", "PUT", "/profiles/p", yaml, "defaults:\n  formt: ova\n", 400, "line 2: defaults.formt: unknown key; did you mean format?"},
		{"unknown key in JSON", "PUT", "/profiles/p", js, "{\n\"nam\": \"x\"}", 400, "line 2: nam: unknown key; did you mean name?"},
		{"key in other case", "PUT", "/profiles/p", js, `{"Name":"x"}`, 400, "unknown key"},
		{"repeated key", "PUT", "/profiles/p", yaml, "name: a\nname: b\n", 400, "line 2: the key \"name\" is there twice"},
		{"anchor", "PUT", "/profiles/p", yaml, "name: &a x\n", 400, "anchors"},
		{"bomb", "PUT", "/profiles/p", yaml, bomb, 400, "anchors"},
		{"10 MB", "PUT", "/profiles/p", yaml, "name: " + strings.Repeat("x", 10<<20), 413, "larger"},
		{"large", "PUT", "/profiles/p", yaml, "name: " + strings.Repeat("x", 100<<10), 400, "are allowed"},
		{"picture", "PUT", "/profiles/p", "image/png", "name: x\n", 400, "image/png"},
		{"traversal", "PUT", "/profiles/..%2f..%2fetc%2fpasswd", yaml, "name: x\n", 400, "is no id"},
		{"NUL in the id", "PUT", "/profiles/a%00b", yaml, "name: x\n", 400, "is no id"},
		{"long id", "PUT", "/profiles/" + strings.Repeat("a", 1000), yaml, "name: x\n", 400, "is no id"},
		{"NUL in the name", "PUT", "/profiles/p", js, `{"name":"a\u0000b"}`, 422, "control character"},
		{"circle of one", "PUT", "/profiles/p", yaml, "extends: p\n", 422, "p → p"},
		{"circle", "PUT", "/profiles/mid", yaml, "extends: leaf\n", 422, "leaf → mid → leaf"},
		{"no parent", "PUT", "/profiles/p", yaml, "extends: basse\n", 422, "which is not there"},
		{"bad parent", "PUT", "/profiles/p", yaml, "extends: bad\n", 422, "unknown key"},
		{"of a file", "PUT", "/profiles/prod-backup", yaml, "name: mine\n", 409, "is a file of the daemon"},
		{"negative size", "PUT", "/profiles/p", yaml, "defaults: {bandwidth_limit: -50MB}\n", 422, "no rate"},
		{"overflowing size", "PUT", "/profiles/p", yaml, "defaults: {bandwidth_limit: 9223372036854775808}\n", 422, "petabyte"},
		{"bad format", "PUT", "/profiles/p", yaml, "defaults: {format: floppy}\n", 422, "floppy"},
		{"the job's own", "PUT", "/profiles/p", yaml, "defaults: {vm_path: /x}\n", 400, "belongs to the job"},

		{"get: not there", "GET", "/profiles/p", "", "", 404, "there is no profile"},
		{"get: traversal", "GET", "/profiles/..%2fx", "", "", 404, "there is no profile"},
		{"list: unknown parameter", "GET", "/profiles?tenant=x", "", "", 400, "tenant"},
		{"delete: not there", "DELETE", "/profiles/p", "", "", 404, "there is no profile"},
		{"delete: of a file", "DELETE", "/profiles/base", "", "", 409, "is a file of the daemon"},
		{"delete: is extended", "DELETE", "/profiles/mid", "", "", 409, "extended by leaf"},
		{"render: not there", "POST", "/profiles/p/render", js, "{}", 404, "there is no profile"},
		{"render: bad file", "POST", "/profiles/bad/render", js, "{}", 422, "unknown key"},
		{"render: unknown key", "POST", "/profiles/base/render", js, `{"spec":{"formt":"raw"}}`, 400, "formt"},
		{"render: bad value", "POST", "/profiles/base/render", js, `{"spec":{"format":"floppy"}}`, 422, "floppy"},
		{"render: another profile", "POST", "/profiles/base/render", js, `{"spec":{"profile":"mid"}}`, 422, "the spec names"},
		{"render: a rate that is none", "POST", "/profiles/base/render", js, `{"spec":{"bandwidth_limit":true}}`, 400, "bandwidth_limit"},
		{"submit: no profile", "POST", "/jobs/submit", js, `{"vm_path":"/x","profile":"prod-bakup"}`, 422, "did you mean prod-backup?"},
		{"submit: another digest", "POST", "/jobs/submit", js, `{"vm_path":"/x","profile":"base","profile_digest":"sha256:0"}`, 409, "has changed"},
		{"submit: slow", "POST", "/jobs/submit", js, `{"vm_path":"/x","bandwidth_limit":1}`, 422, "less than 1KB"},
		{"bandwidth: no rate", "PUT", "/jobs/" + id + "/bandwidth", js, `{"bandwidth_limit":"50Mbit"}`, 422, "no rate"},
		{"bandwidth: fraction", "PUT", "/jobs/" + id + "/bandwidth", js, `{"bandwidth_limit":1.5}`, 400, "bandwidth_limit"},
		{"bandwidth: no window", "PUT", "/jobs/" + id + "/bandwidth", js, `{"bandwidth_windows":["at night"]}`, 422, "no bandwidth window"},
		{"bandwidth: unknown key", "PUT", "/jobs/" + id + "/bandwidth", js, `{"limit":1}`, 400, "limit"},
		{"bandwidth: no job", "PUT", "/jobs/x/bandwidth", js, `{"bandwidth_limit":"1MB"}`, 404, "there is no job"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.call(c.method, c.path, c.body, "Content-Type", c.contentType)
			if got.status != c.status {
				t.Fatalf("%d, want %d: %.500s", got.status, c.status, got.body)
			}
			p := got.problem(t)
			if p.Code == "" || p.Fix == "" || !strings.Contains(got.body, strings.ReplaceAll(c.says, `"`, `\"`)) && !strings.Contains(p.Detail+p.Fix, c.says) {
				t.Errorf("%s", got.body)
			}
		})
	}
	after, err := w.api.Profiles(t.Context())
	must(t, err)
	j, err := w.api.Get(t.Context(), id)
	must(t, err)
	if !reflect.DeepEqual(before, after) || j.Spec.BandwidthLimit != "" {
		t.Errorf("something was stored: %+v, %+v", after, j.Spec)
	}
}

func second[T any](_ T, err error) error { return err }

// The rights: reading and writing profiles are permissions of their own.
func TestProfilePermissions(t *testing.T) {
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Gate = gate.New(auth.NewKey(digest(key), tenant.NewPrincipal(tenant.Default, "reader", tenant.ProfileRead)), nil)
	})
	if got := w.call("GET", "/profiles", ""); got.status != http.StatusOK {
		t.Errorf("%+v", got)
	}
	for _, c := range [][2]string{{"PUT", "/profiles/p"}, {"DELETE", "/profiles/p"}, {"PUT", "/jobs/x/bandwidth"}} {
		body := ""
		if c[0] == "PUT" {
			body = `{}`
		}
		if got := w.call(c[0], c[1], body, "Content-Type", "application/json"); got.status != http.StatusForbidden {
			t.Errorf("%v: %+v", c, got)
		}
	}
}
