package rest_test

import (
	"net/http"
	"testing"

	"github.com/hypersdk/hypersdk/internal/api/rest"
)

func TestRetention(t *testing.T) {
	w := newWorld(t)
	ids := w.submit(3)
	for range ids {
		w.complete(w.claim())
	}
	dry, err := w.api.Retention(t.Context(), true)
	must(t, err)
	if !dry.DryRun || dry.Artifacts != 2 || dry.Bytes != 14 || len(dry.Removed) != 2 || dry.Removed[0].JobID != ids[0] || dry.Removed[0].Reason == "" || len(dry.Kept) != 0 {
		t.Fatalf("%+v", dry)
	}
	done, err := w.api.Retention(t.Context(), false)
	must(t, err)
	again, err := w.api.Retention(t.Context(), false)
	must(t, err)
	if done.DryRun || done.Artifacts != 2 || again.Artifacts != 0 {
		t.Fatalf("%+v, then %+v", done, again)
	}
	j, err := w.api.Get(t.Context(), ids[0])
	must(t, err)
	if j.ArtifactsRemovedAt == nil || len(j.Artifacts) != 1 {
		t.Fatalf("%+v", j)
	}
	for body, status := range map[string]int{`{"dryrun":true}`: 400, `{"dry_run":"yes"}`: 400, `[]`: 400, ``: 400} {
		if got := w.call("POST", "/retention/run", body); got.status != status {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

func TestNoRetentionNoRoute(t *testing.T) {
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) { d.Retention = nil })
	if got := w.call("POST", "/retention/run", `{}`); got.status != 404 {
		t.Fatalf("%+v", got)
	}
}
