package limit

import (
	"strings"
	"time"
	_ "time/tzdata" // a static binary also runs where the system has no zones

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Window is a stretch of the week with a rate of its own.
type Window struct {
	days     [7]bool // by time.Weekday, on which it begins
	from, to int     // minutes of the day; to may lie on the next day: to <= from
	zone     *time.Location
	rate     Rate
}

// MaxWindows is how many windows one plan may have.
const MaxWindows = 32

var weekdays = map[string]int{"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}

// ParseWindow reads "[DAYS] HH:MM-HH:MM [ZONE] = RATE", e.g. "Mon-Fri 08:00-18:00 =
// 50MB" or "Sat,Sun 22:00-06:00 Europe/Berlin = unlimited". No days: every day. A
// window over midnight belongs to the day on which it begins. No zone: the
// machine's. Kind Unprocessable.
func ParseWindow(text string) (Window, error) {
	left, right, found := strings.Cut(text, "=")
	fields := strings.Fields(left)
	if !found || len(fields) == 0 || len(fields) > 3 {
		return Window{}, badWindow(text, "it is not like that")
	}
	w := Window{zone: time.Local}
	if strings.Contains(fields[0], ":") {
		w.days = [7]bool{true, true, true, true, true, true, true}
	} else {
		if !w.parseDays(fields[0]) {
			return Window{}, badWindow(text, "the days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, as Mon-Fri or Sat,Sun")
		}
		fields = fields[1:]
	}
	if len(fields) == 0 || !w.parseHours(fields[0]) {
		return Window{}, badWindow(text, "the hours are 00:00 to 24:00, and differ")
	}
	if len(fields) > 2 {
		return Window{}, badWindow(text, "it is not like that")
	}
	if len(fields) == 2 {
		zone, err := time.LoadLocation(fields[1])
		if err != nil {
			return Window{}, badWindow(text, "the time zone is none that is known, such as Europe/Berlin or UTC")
		}
		w.zone = zone
	}
	var err error
	w.rate, err = ParseRate(right)
	return w, err
}

func badWindow(text, why string) error {
	return fault.Newf(fault.Unprocessable, "HX-LIMIT-004", `say "Mon-Fri 08:00-18:00 = 50MB"`, "%.100q is no bandwidth window: %s", text, why)
}

func (w *Window) parseDays(text string) bool {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, ok := weekdays[strings.ToLower(first)]
		to := from
		if isRange && ok {
			to, ok = weekdays[strings.ToLower(last)]
		}
		if !ok {
			return false
		}
		for d := from; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == to {
				break
			}
		}
	}
	return true
}

func (w *Window) parseHours(text string) bool {
	from, to, found := strings.Cut(text, "-")
	var ok1, ok2 bool
	w.from, ok1 = minutes(from)
	w.to, ok2 = minutes(to)
	return found && ok1 && ok2 && w.from != w.to && w.from < 24*60
}

// minutes reads HH:MM as minutes of the day; 24:00 is the end of it.
func minutes(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == len("15:04")
}

// holds tells whether the window is open. It goes by the clock on the wall: where
// a day has 23 or 25 hours, the window is as much shorter or longer.
func (w *Window) holds(at time.Time) bool {
	at = at.In(w.zone)
	now, today := at.Hour()*60+at.Minute(), int(at.Weekday())
	if w.from < w.to {
		return w.days[today] && now >= w.from && now < w.to
	}
	yesterday := (today + 6) % 7
	return w.days[today] && now >= w.from || w.days[yesterday] && now < w.to
}

// Plan is a rate, and the windows in which another one holds.
type Plan struct {
	Rate    Rate
	Windows []Window
}

// ParsePlan reads a rate (empty: none) and windows. Kind Unprocessable.
func ParsePlan(rate string, windows []string) (Plan, error) {
	var p Plan
	var err error
	if rate != "" {
		if p.Rate, err = ParseRate(rate); err != nil {
			return Plan{}, err
		}
	}
	if len(windows) > MaxWindows {
		return Plan{}, fault.Newf(fault.Unprocessable, "HX-LIMIT-005", "join some", "%d bandwidth windows; %d are allowed", len(windows), MaxWindows)
	}
	for _, text := range windows {
		w, err := ParseWindow(text)
		if err != nil {
			return Plan{}, err
		}
		p.Windows = append(p.Windows, w)
	}
	return p, nil
}

// At returns the rate at a time: that of the first window that is open, else the
// plan's own.
func (p *Plan) At(t time.Time) Rate {
	for i := range p.Windows {
		if p.Windows[i].holds(t) {
			return p.Windows[i].rate
		}
	}
	return p.Rate
}
