package rest_test

import (
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/client"
)

func nightly() client.ScheduleSpec {
	return client.ScheduleSpec{
		Name: "nightly", Cron: "30 2 * * *", TimeZone: "Europe/Berlin",
		Jobs: []client.Spec{{VMPath: "/DC/vm/web-01", OutputPath: "out"}},
	}
}

func TestSchedules(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	made, err := w.api.CreateSchedule(ctx, nightly())
	must(t, err)
	if len(made.NextRuns) != 5 || made.Spec.Overlap != "skip" || made.Spec.CatchUp != "last" || made.LastRun != nil {
		t.Fatalf("%+v", made)
	}
	text := "name: weekly\ncron: '@weekly'\njobs:\n  - vm_path: /DC/vm/web-01\n    format: qcow2\n"
	_, err = w.api.CreateScheduleFile(ctx, []byte(text), "application/yaml")
	must(t, err)
	var names []string
	for s, err := range w.api.Schedules(ctx) {
		must(t, err)
		names = append(names, s.Spec.Name)
	}
	if strings.Join(names, " ") != "nightly weekly" {
		t.Fatalf("%v", names)
	}
	if got := w.call("GET", "/schedules?limit=1", ""); !strings.Contains(got.body, `"next_cursor"`) {
		t.Fatalf("%+v", got)
	}

	run, err := w.api.RunSchedule(ctx, "nightly")
	must(t, err)
	if run.Outcome != "submitted" || !run.Manual || len(run.JobIDs) != 1 {
		t.Fatalf("%+v", run)
	}
	j, err := w.api.Get(ctx, run.JobIDs[0])
	must(t, err)
	if j.Spec.Labels["hypersdk/schedule"] != "nightly" {
		t.Fatalf("%+v", j.Spec.Labels)
	}
	if got := w.call("POST", "/schedules/nightly/run", ""); got.status != 409 || got.problem(t).Code != "HX-SCHED-005" {
		t.Fatalf("%+v", got)
	}
	runs, err := w.api.ScheduleRuns(ctx, made.ID)
	must(t, err)
	if len(runs) != 1 || runs[0].Outcome != "submitted" {
		t.Fatalf("%+v", runs)
	}

	paused, err := w.api.PauseSchedule(ctx, "nightly")
	must(t, err)
	if !paused.Spec.Paused || len(paused.NextRuns) != 0 {
		t.Fatalf("%+v", paused)
	}
	resumed, err := w.api.ResumeSchedule(ctx, made.ID)
	must(t, err)
	if resumed.Spec.Paused || len(resumed.NextRuns) != 5 {
		t.Fatalf("%+v", resumed)
	}
	spec := resumed.Spec
	spec.Cron = "0 4 * * *"
	set, err := w.api.SetSchedule(ctx, "nightly", spec)
	must(t, err)
	if set.ID != made.ID || set.Spec.Cron != "0 4 * * *" {
		t.Fatalf("%+v", set)
	}
	spec.Name = "weekly"
	if _, err := w.api.SetSchedule(ctx, "nightly", spec); err == nil || !strings.Contains(err.Error(), "HX-SCHED-010") {
		t.Fatalf("a taken name: %v", err)
	}
	must(t, w.api.DeleteSchedule(ctx, "nightly"))
	if got := w.call("GET", "/schedules/"+made.ID, ""); got.status != 404 {
		t.Fatalf("%+v", got)
	}
}

// Each is a precise refusal, and nothing is stored.
func TestBadSchedules(t *testing.T) {
	w := newWorld(t)
	const js, yaml = "application/json", "application/yaml"
	jobs := `,"jobs":[{"vm_path":"/x"}]}`
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\njobs: *b\n"
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		want                    string
	}{
		{"empty", js, "", 400, "is required"},
		{"no mapping", js, "[]", 400, "must be a mapping"},
		{"null", yaml, "null", 400, "must be a mapping"},
		{"unknown key", js, `{"name":"x","crn":"* * * * *"` + jobs, 400, "did you mean cron"},
		{"unknown key of a job", js, `{"name":"x","cron":"* * * * *","jobs":[{"vm":"/x"}]}`, 400, "jobs[0].vm"},
		{"repeated key", js, `{"name":"x","name":"y","cron":"* * * * *"` + jobs, 400, "twice"},
		{"wrong type", js, `{"name":7,"cron":"* * * * *"` + jobs, 400, "in quotes"},
		{"jobs is no list", js, `{"name":"x","cron":"* * * * *","jobs":{"vm_path":"/x"}}`, 400, "a list"},
		{"very many jobs", js, `{"name":"x","cron":"* * * * *","jobs":[` + strings.Repeat("{},", 2000) + `{}]}`, 400, "1000 are allowed"},
		{"too many jobs", js, `{"name":"x","cron":"* * * * *","jobs":[` + strings.Repeat(`{"vm_path":"/x"},`, 100) + `{"vm_path":"/x"}]}`, 422, "101 jobs"},
		{"no job", js, `{"name":"x","cron":"* * * * *","jobs":[]}`, 422, "at least one job"},
		{"a refused job", js, `{"name":"x","cron":"* * * * *","jobs":[{"vm_path":"/x","format":"floppy"}]}`, 422, "jobs[0]: format"},
		{"a job for nobody", js, `{"name":"x","cron":"* * * * *","jobs":[{"vm_path":"/x","provider":"moon"}]}`, 422, "jobs[0]: there is no provider"},
		{"1e9 attempts", js, `{"name":"x","cron":"* * * * *","jobs":[{"vm_path":"/x","max_attempts":1000000000}]}`, 422, "jobs[0]: max_attempts"},
		{"a job in year 9999", js, `{"name":"x","cron":"* * * * *","jobs":[{"vm_path":"/x","not_before":"9999-01-01T00:00:00Z"}]}`, 422, "not_before"},
		{"minute 61", js, `{"name":"x","cron":"61 * * * *"` + jobs, 422, "cron"},
		{"a sixth field", js, `{"name":"x","cron":"* * * * * 9999"` + jobs, 422, "6 fields"},
		{"31 February", js, `{"name":"x","cron":"30 2 31 2 *"` + jobs, 422, "never comes"},
		{"a zone in cron", js, `{"name":"x","cron":"TZ=0"` + jobs, 422, "time_zone"},
		{"every", js, `{"name":"x","cron":"@every 1s"` + jobs, 422, "@every"},
		{"unknown zone", js, `{"name":"x","cron":"* * * * *","time_zone":"Mars/Olympus"` + jobs, 422, "IANA"},
		{"zone that climbs", js, `{"name":"x","cron":"* * * * *","time_zone":"../../../etc/passwd"` + jobs, 422, "IANA"},
		{"long name", js, `{"name":"` + strings.Repeat("x", 10_000) + `","cron":"* * * * *"` + jobs, 422, "longer than 63"},
		{"name that climbs", js, `{"name":"../x","cron":"* * * * *"` + jobs, 422, "name"},
		{"NUL in the name", js, `{"name":"a\u0000","cron":"* * * * *"` + jobs, 422, "name"},
		{"negative jitter", js, `{"name":"x","cron":"@daily","jitter":"-5m"` + jobs, 422, "jitter"},
		{"long jitter", js, `{"name":"x","cron":"@hourly","jitter":"2h"` + jobs, 422, "shorter than the pause"},
		{"unknown overlap", js, `{"name":"x","cron":"@daily","overlap":"both"` + jobs, 422, "overlap"},
		{"endless catch-up", js, `{"name":"x","cron":"@daily","overlap":"queue","catch_up":"all","catch_up_limit":1000000` + jobs, 422, "catch_up_limit"},
		{"bomb", yaml, bomb, 400, "anchors"},
		{"tag", yaml, "name: !!binary aGk=\n", 400, "tags"},
		{"merge key", yaml, "<<: {name: x}\n", 400, "plain text"},
		{"deep", yaml, "jobs: " + strings.Repeat("[", 1000), 400, "YAML"},
		{"two documents", yaml, "name: x\n---\nname: y\n", 400, "YAML"},
		{"large", yaml, "name: " + strings.Repeat("x", 300<<10), 400, "262144"},
		{"huge", js, `{"name":"` + strings.Repeat("x", 2<<20), 413, "1 MiB"},
		{"no UTF-8", js, "{\"name\":\"\xff\"}", 400, "UTF-8"},
		{"picture", "image/png", "x", 400, "image/png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for method, path := range map[string]string{"POST": "/schedules", "PUT": "/schedules/there"} {
				got := w.call(method, path, c.body, "Content-Type", c.contentType)
				if p := got.problem(t); got.status != c.status || !strings.Contains(p.Code+" "+p.Detail, c.want) || p.Fix == "" || len(got.body) > 4096 {
					t.Errorf("%s: %d %.600s", method, got.status, got.body)
				}
			}
		})
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/schedules/none", 404}, {"DELETE", "/schedules/none", 404}, {"POST", "/schedules/none/run", 404},
		{"POST", "/schedules/none/pause", 404}, {"GET", "/schedules/%00", 404}, {"GET", "/schedules/%ff", 404},
		{"GET", "/schedules?limit=0", 400}, {"GET", "/schedules?limit=101", 400}, {"GET", "/schedules?cursor=!", 400},
		{"GET", "/schedules?tenant=other", 400}, {"PATCH", "/schedules/x", 405},
	} {
		if got := w.call(c.method, c.path, ""); got.status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
	if got := w.call("GET", "/schedules", ""); !strings.Contains(got.body, `"items":[]`) {
		t.Fatalf("something got in: %s", got.body)
	}
}
