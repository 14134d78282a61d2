package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/schedule"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The offsets in the wanted times show which of two equal readings of the clock
// is meant.
func TestNextOverRealTransitions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cron, zone, from string
		want                   []string
	}{
		{"an ordinary night", "30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00+01:00",
			[]string{"2026-03-28T02:30:00+01:00"}},
		{"spring: a skipped time runs at the end of the gap", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"spring: several skipped times run once", "*/15 2,3 * * *", "Europe/Berlin", "2026-03-29T01:59:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"}},
		{"spring: every hour has nothing to make up for", "@hourly", "Europe/Berlin", "2026-03-29T00:30:00+01:00",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		{"spring: half past every hour", "30 * * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"}},
		{"autumn: a doubled time runs once", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"autumn: asked in the second pass", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00",
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"autumn: every half hour goes on", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:10:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"autumn: the hour after", "0 3 * * *", "Europe/Berlin", "2026-10-25T02:10:00+02:00",
			[]string{"2026-10-25T03:00:00+01:00"}},
		{"New York, spring", "30 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"New York, autumn", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{"midnight does not exist", "0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00+02:00",
			[]string{"2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"}},
		{"half an hour of change", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"a day that was left out", "0 12 30 * *", "Pacific/Apia", "2011-12-29T13:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-01-30T12:00:00+14:00"}},
		{"leap days", "0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"either day matches", "0 0 13 * FRI", "UTC", "2026-03-07T00:00:00Z",
			[]string{"2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"}},
		{"Sunday is 0 and 7", "0 0 * * 7", "UTC", "2026-03-02T00:00:00Z", []string{"2026-03-08T00:00:00Z"}},
		{"weekly", "@weekly", "UTC", "2026-03-02T00:00:00Z", []string{"2026-03-08T00:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cron, err := schedule.ParseCron(c.cron, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			got := cron.Upcoming(at(t, c.from), len(c.want))
			for i, w := range c.want {
				if i >= len(got) || !got[i].Equal(at(t, w)) {
					t.Fatalf("run %d: got %v, want %v", i, got, c.want)
				}
			}
		})
	}
}

// Over ten years of real transitions: runs ascend, and a nightly job runs on each
// day of the calendar exactly once.
func TestEveryDayOnce(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kolkata"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, expr := range []string{"0 0 * * *", "30 0 * * *", "59 1 * * *", "15 2 * * *", "30 2 * * *", "0 3 * * *"} {
			cron, err := schedule.ParseCron(expr, zone)
			if err != nil {
				t.Fatal(err)
			}
			day := time.Date(2017, 1, 1, 12, 0, 0, 0, loc)
			for run := range 3650 {
				next := cron.Next(day)
				want := day.AddDate(0, 0, 1)
				if y, m, d := next.In(loc).Date(); !next.After(day) || y != want.Year() || m != want.Month() || d != want.Day() {
					t.Fatalf("%s %s: run %d after %v is at %v", zone, expr, run, day, next.In(loc))
				}
				day = want
			}
		}
	}
}

func TestBadExpressions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, zone string }{
		{"", "UTC"},
		{"61 * * * *", "UTC"},
		{"* 24 * * *", "UTC"},
		{"* * 0 * *", "UTC"},
		{"* * * 13 *", "UTC"},
		{"* * * * 8", "UTC"},
		{"* * * *", "UTC"},
		{"* * * * * *", "UTC"},
		{"* * * * * 9999", "UTC"},
		{"*/0 * * * *", "UTC"},
		{"-1 * * * *", "UTC"},
		{"5-1-3 * * * *", "UTC"},
		{"a b c d e", "UTC"},
		{"@reboot", "UTC"},
		{"@every 5m", "UTC"},
		{"TZ=0", "UTC"},
		{"TZ=UTC * * * * *", "UTC"},
		{"CRON_TZ=UTC 0 0 * * *", "UTC"},
		{"H H * * *", "UTC"},
		{"0 0 L * *", "UTC"},
		{"0 0 * * FRI#3", "UTC"},
		{"0 0 ? * ?", "UTC"},
		{"0 0 * * *\n", "UTC"},
		{"0 0 * * *\x00", "UTC"},
		{strings.Repeat("1,", 5000) + "1 * * * *", "UTC"},
		{"0 0 * * *", ""},
		{"0 0 * * *", "Local"},
		{"0 0 * * *", "Mars/Olympus"},
		{"0 0 * * *", "../../etc/passwd"},
		{"0 0 * * *", "/etc/localtime"},
		{"0 0 * * *", strings.Repeat("x", 10_000)},
	} {
		if _, err := schedule.ParseCron(c.cron, c.zone); err == nil || len(err.Error()) > 500 {
			t.Errorf("%.40q in %.20q: %v", c.cron, c.zone, err)
		}
	}
}

func FuzzCron(f *testing.F) {
	f.Add("30 2 * * *", "Europe/Berlin", int64(1774000000))
	f.Add("@hourly", "UTC", int64(0))
	f.Add("*/7 1-3,22 29 2 MON", "America/New_York", int64(4000000000))
	f.Fuzz(func(t *testing.T, expr, zone string, from int64) {
		c, err := schedule.ParseCron(expr, zone)
		if err != nil {
			return
		}
		start := time.Unix(from%(1<<33), 0)
		last := start
		for _, run := range c.Upcoming(start, 5) {
			if !run.After(last) {
				t.Fatalf("%q in %q: %v is not after %v", expr, zone, run, last)
			}
			last = run
		}
	})
}
