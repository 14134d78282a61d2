package outbox_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// TestNothingIsStoredInClear: of the URLs of webhooks, of the steps of jobs and of
// schedules there is nothing but the host in any file, nor of signing secrets.
func TestNothingIsStoredInClear(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, store.Options{Dir: dir})
	r := &receiver{}
	base := w.serve(r)
	made := w.create(webhook.Definition{Name: "ops", URL: base + "/canary-1", Events: []string{"*"}})
	rotated, err := w.svc.RotateWebhook(t.Context(), w.us, "ops", 0)
	w.must(err)
	flow := func(canary string) job.Spec {
		return job.Spec{Name: "flow", Jobs: []job.Step{
			{ID: "a", Type: "export", VMPath: "/a"},
			{ID: "b", Type: "webhook", DependsOn: job.Names{"a"}, URL: "https://hooks.slack.com/services/" + canary},
		}, Finally: []job.Step{{ID: "c", Type: "webhook", URL: "https://example.com/" + canary}}}
	}
	_, err = w.svc.Submit(t.Context(), w.us, []job.Spec{flow("canary-2")}, service.SubmitOptions{IdempotencyKey: "k"})
	w.must(err)
	_, err = w.svc.CreateSchedule(t.Context(), w.us, schedule.Definition{Name: "s", Cron: "@yearly", Jobs: []job.Spec{flow("canary-3")}})
	w.must(err)
	_, err = w.svc.SetSchedule(t.Context(), w.us, "s", schedule.Definition{Name: "s", Cron: "@yearly", Jobs: []job.Spec{flow("canary-4")}})
	w.must(err)
	run, err := w.svc.RunSchedule(t.Context(), w.us, "s") // what is sealed is judged again
	w.must(err)
	if len(run.JobIDs) != 1 {
		t.Errorf("%+v", run)
	}
	d := made.Webhook.Spec
	d.Description = "changed"
	changed, err := w.svc.SetWebhook(t.Context(), w.us, "ops", d) // with the URL as it is shown
	w.must(err)
	defer w.run(loopback())()
	w.cancel(job.Spec{VMPath: "/b"})
	w.eventually("deliveries", func() bool { return r.count() >= 2 })
	if path := r.all()[0].path; path != "/canary-1" {
		t.Errorf("posted to %s", path)
	}
	shown, err := json.Marshal([]any{made.Webhook, rotated.Webhook, changed, w.deliveries("ops", "")})
	w.must(err)
	secrets := []string{"canary", secretText(made), secretText(rotated)}
	for _, s := range secrets {
		if strings.Contains(string(shown), s) {
			t.Errorf("answers show %s", s)
		}
	}
	files := 0
	w.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("hooks.slack.com")) {
			files++
		}
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s holds %s", path, s)
			}
		}
		return err
	}))
	if files == 0 {
		t.Error("not even the host is there: the test proves nothing")
	}
}

// secretText is the part of a signing secret that tells.
func secretText(n service.NewWebhook) string {
	return strings.TrimPrefix(n.Secret.Reveal(), webhook.SecretPrefix)
}
