package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
)

func TestCatchUp(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return first.AddDate(0, 0, n) }
	for _, c := range []struct {
		name   string
		policy schedule.CatchUp
		limit  int
		now    time.Time
		runs   []time.Time
		missed int
		next   time.Time
	}{
		{"on time", schedule.None, 0, day(0), []time.Time{day(0)}, 0, day(1)},
		{"late by less than the grace", schedule.None, 0, day(0).Add(50 * time.Second), []time.Time{day(0)}, 0, day(1)},
		{"not due", schedule.Last, 0, day(0).Add(-time.Second), nil, 0, day(0)},
		{"one missed, none", schedule.None, 0, day(0).Add(time.Hour), nil, 1, day(1)},
		{"one missed, last", schedule.Last, 0, day(0).Add(time.Hour), []time.Time{day(0)}, 0, day(1)},
		{"three missed, last", schedule.Last, 0, day(2).Add(time.Hour), []time.Time{day(2)}, 2, day(3)},
		{"three missed, all", schedule.All, 10, day(2).Add(time.Hour), []time.Time{day(0), day(1), day(2)}, 0, day(3)},
		{"three missed, two at most", schedule.All, 2, day(2).Add(time.Hour), []time.Time{day(1), day(2)}, 1, day(3)},
		{"back just in time, none", schedule.None, 0, day(2), []time.Time{day(2)}, 2, day(3)},
		{"back just in time, last", schedule.Last, 0, day(2), []time.Time{day(2)}, 2, day(3)},
		{"back just in time, all", schedule.All, 1, day(2), []time.Time{day(1), day(2)}, 1, day(3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := schedule.Definition{CatchUp: c.policy, CatchUpLimit: c.limit}
			cron, err := schedule.ParseCron("0 2 * * *", "UTC")
			if err != nil {
				t.Fatal(err)
			}
			got := d.Decide("x", cron, first, c.now)
			same := len(got.Runs) == len(c.runs)
			for i := range c.runs {
				same = same && got.Runs[i].Equal(c.runs[i])
			}
			if !same || got.Missed != c.missed || !got.Next.Equal(c.next) {
				t.Errorf("%+v, want %v, %d missed, next %v", got, c.runs, c.missed, c.next)
			}
		})
	}
}

// Years without a daemon cost no more than a moment, and the last runs are right.
func TestCatchUpAfterYears(t *testing.T) {
	t.Parallel()
	cron, err := schedule.ParseCron("* * * * *", "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	now := time.Date(2026, 1, 1, 0, 5, 30, 0, time.UTC)
	d := schedule.Definition{CatchUp: schedule.All, CatchUpLimit: 3}
	got := d.Decide("x", cron, begin, now)
	if len(got.Runs) != 4 || !got.Runs[3].Equal(now.Truncate(time.Minute)) || got.Missed < 10_000 || !got.Next.Equal(now.Truncate(time.Minute).Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
}

func TestJitterIsFixedAndSpread(t *testing.T) {
	t.Parallel()
	d := schedule.Definition{Jitter: "10m"}
	var early, late int
	run := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	for range 1000 {
		due := d.Due("a", run)
		if !due.Equal(d.Due("a", run)) || due.Before(run) || !due.Before(run.Add(10*time.Minute)) {
			t.Fatalf("%v comes at %v", run, due)
		}
		if due.Sub(run) < 5*time.Minute {
			early++
		} else {
			late++
		}
		run = run.AddDate(0, 0, 1)
	}
	if early < 400 || late < 400 {
		t.Errorf("%d in the first half, %d in the second", early, late)
	}
	if d.Due("a", run).Equal(d.Due("b", run)) {
		t.Error("two schedules come at once")
	}
}

func valid() schedule.Definition {
	return schedule.Definition{
		Name: "nightly", Cron: "30 2 * * *", TimeZone: "Europe/Berlin",
		Jobs: []job.Spec{{VMPath: "/DC/vm/web-01"}},
	}.WithDefaults()
}

func TestValidate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	if err := valid().Validate(now); err != nil {
		t.Fatal(err)
	}
	future := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		edit func(d *schedule.Definition)
		want string
	}{
		"no name":               {func(d *schedule.Definition) { d.Name = "" }, "name is missing"},
		"long name":             {func(d *schedule.Definition) { d.Name = strings.Repeat("x", 10_000) }, "name is longer"},
		"path in name":          {func(d *schedule.Definition) { d.Name = "../x" }, "name"},
		"NUL in name":           {func(d *schedule.Definition) { d.Name = "a\x00" }, "name"},
		"dots":                  {func(d *schedule.Definition) { d.Name = ".." }, "name"},
		"id as a name":          {func(d *schedule.Definition) { d.Name = "0190c7b0-0000-7000-8000-000000000000" }, "looks like an id"},
		"never comes":           {func(d *schedule.Definition) { d.Cron = "30 2 31 2 *" }, "never comes"},
		"minute 61":             {func(d *schedule.Definition) { d.Cron = "61 * * * *" }, "cron"},
		"unknown zone":          {func(d *schedule.Definition) { d.TimeZone = "Mars/Olympus" }, "time_zone"},
		"unknown overlap":       {func(d *schedule.Definition) { d.Overlap = "both" }, "overlap"},
		"unknown catch-up":      {func(d *schedule.Definition) { d.CatchUp = "some" }, "catch_up"},
		"all without queue":     {func(d *schedule.Definition) { d.CatchUp, d.CatchUpLimit = schedule.All, 3 }, "needs overlap: queue"},
		"negative limit":        {func(d *schedule.Definition) { d.CatchUp, d.Overlap, d.CatchUpLimit = schedule.All, schedule.Queue, -1 }, "catch_up_limit"},
		"limit alone":           {func(d *schedule.Definition) { d.CatchUpLimit = 3 }, "goes with"},
		"negative jitter":       {func(d *schedule.Definition) { d.Jitter = "-5m" }, "jitter"},
		"endless jitter":        {func(d *schedule.Definition) { d.Jitter = "99999h" }, "jitter"},
		"jitter is no time":     {func(d *schedule.Definition) { d.Jitter = "soon" }, "jitter"},
		"jitter over the pause": {func(d *schedule.Definition) { d.Cron, d.Jitter = "*/5 * * * *", "5m" }, "shorter than the pause"},
		"no job":                {func(d *schedule.Definition) { d.Jobs = nil }, "jobs is missing"},
		"many jobs":             {func(d *schedule.Definition) { d.Jobs = make([]job.Spec, 101) }, "101 jobs"},
		"a job in 9999":         {func(d *schedule.Definition) { d.Jobs[0].NotBefore = &future }, "jobs[0].not_before"},
		"our label":             {func(d *schedule.Definition) { d.Jobs[0].Labels = map[string]string{schedule.LabelRun: "x"} }, "set by the schedule"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := valid()
			c.edit(&d)
			err := d.Validate(now)
			if !fault.Is(err, fault.Unprocessable) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 2000 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSpecsAreLabelledCopies(t *testing.T) {
	t.Parallel()
	d := valid()
	d.Jobs[0].Labels = map[string]string{"team": "web"}
	got := d.Specs(time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC))
	if l := got[0].Labels; l["team"] != "web" || l[schedule.LabelSchedule] != "nightly" || l[schedule.LabelRun] != "2026-03-01T02:30:00Z" {
		t.Errorf("%v", l)
	}
	if len(d.Jobs[0].Labels) != 1 {
		t.Error("the definition was changed")
	}
}
