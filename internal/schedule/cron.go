package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// Cron is a cron expression in a time zone. What it names is the wall clock:
//
//   - a time that the clock skips (spring) runs at the first instant after the gap;
//   - a time that the clock shows twice (autumn) runs the first time only;
//   - an expression that leaves the hour open (`*`) runs by the time that passes,
//     so it runs in both of the doubled hours and has nothing to make up for.
type Cron struct {
	spec    *cron.SpecSchedule
	zone    *time.Location
	anyHour bool
}

const (
	maxCron    = 255
	cronFields = 5
	allHours   = 1<<24 - 1
	// searchYears covers 29 February around 2100, which is no leap year.
	searchYears = 9
)

// parser reads the classic five fields: a day matches if day-of-month or
// day-of-week does, when both are restricted.
var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom).
	WithMaxSearchYears(searchYears)

// ParseCron reads an expression and an IANA time zone. The error is for people.
func ParseCron(expr, zone string) (*Cron, error) {
	loc, err := parseZone(zone)
	if err != nil {
		return nil, err
	}
	if err := checkExpression(expr); err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(expr)
	if err != nil {
		return nil, fmt.Errorf("cron %q cannot be read: %w", expr, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron %q is no expression of five fields", expr)
	}
	spec.Location = time.UTC
	return &Cron{spec: spec, zone: loc, anyHour: spec.Hour&allHours == allHours}, nil
}

// parseZone refuses the empty name and "Local", which mean something else on
// each machine.
func parseZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, fmt.Errorf("time_zone %.64q is no IANA time zone such as Europe/Berlin", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time_zone %.64q is no IANA time zone such as Europe/Berlin", name)
	}
	return loc, nil
}

// checkExpression leaves to the parser only what has the form of an expression:
// it also takes zones, intervals and fields that are not documented here.
func checkExpression(expr string) error {
	switch {
	case expr == "":
		return errors.New("cron is missing")
	case len(expr) > maxCron:
		return fmt.Errorf("cron is longer than %d bytes", maxCron)
	case strings.HasPrefix(expr, "@every"):
		return fmt.Errorf("cron %q: @every depends on when the daemon was started; write */15 * * * *", expr)
	case strings.HasPrefix(expr, "@"):
		return nil
	case strings.ContainsFunc(expr, func(r rune) bool {
		return !strings.ContainsRune("*/,- \t", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}):
		return fmt.Errorf("cron %q holds a character that no field takes; the time zone goes to time_zone", expr)
	case len(strings.Fields(expr)) != cronFields:
		return fmt.Errorf("cron %q has %d fields, not %d: minute hour day-of-month month day-of-week", expr, len(strings.Fields(expr)), cronFields)
	}
	return nil
}

// Next returns the first run after t, or the zero time if there is none within
// some years.
func (c *Cron) Next(t time.Time) time.Time {
	if c.anyHour {
		return c.nextElapsed(t)
	}
	for w := wall(t.In(c.zone)); ; {
		w = c.spec.Next(w)
		if w.IsZero() {
			return time.Time{}
		}
		if at := c.instant(w); at.After(t) {
			return at.UTC()
		}
	}
}

// nextElapsed walks from one change of the zone's offset to the next: in between
// the wall clock runs evenly.
func (c *Cron) nextElapsed(t time.Time) time.Time {
	limit := t.AddDate(searchYears, 0, 0)
	for t.Before(limit) {
		local := t.In(c.zone)
		w := c.spec.Next(wall(local))
		if w.IsZero() {
			return time.Time{}
		}
		at := t.Add(w.Sub(wall(local)))
		_, end := local.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at.UTC()
		}
		if w = wall(end.In(c.zone)); c.spec.Next(w.Add(-time.Nanosecond)).Equal(w) {
			return end.UTC() // the new offset's first instant
		}
		t = end
	}
	return time.Time{}
}

// wall returns what the clock on the wall shows, as if it were UTC.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant returns when the clock on the wall first shows w, or if it never does,
// the end of the gap.
func (c *Cron) instant(w time.Time) time.Time {
	at := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, c.zone)
	start, end := at.ZoneBounds()
	switch shown := wall(at); {
	case shown.After(w):
		return start
	case shown.Before(w):
		return end
	}
	if start.IsZero() {
		return at
	}
	// The same reading may have been there before the clock was set back.
	_, before := start.Add(-time.Nanosecond).Zone()
	if first := w.Add(-time.Duration(before) * time.Second); first.Before(start) {
		return first
	}
	return at
}
