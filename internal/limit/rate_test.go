package limit

import (
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want Rate
		back string
	}{
		{"50MB", 50e6, "50MB"}, {"50MiB", 50 << 20, "50MiB"}, {"50 MB/s", 50e6, "50MB"}, {"1500", 1500, "1500"},
		{"0", 0, "unlimited"}, {"unlimited", 0, "unlimited"}, {"0MB", 0, "unlimited"}, {" 2GB ", 2e9, "2GB"},
		{"1024KiB", 1 << 20, "1MiB"}, {"64kB", 64e3, "64KB"}, {"4096B", 4096, "4096"}, {"1TB", 1e12, "1TB"},
	} {
		got, err := ParseRate(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%q: %d as %s, %v; want %d as %s", c.text, got, got, err, c.want, c.back)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q: %s does not come back: %d, %v", c.text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "MB", "-5MB", "+5MB", "1.5MB", "5e6", "50mb", "50Mbit", "50Mbps", "50 M B", "0x10", "fast", "999", "1B",
		"99999999999999999999GB", "9223372036854775807TB", "2000TB", "½MB", "５MB", "50MB/min", "50\x00MB",
	} {
		if r, err := ParseRate(text); !fault.Is(err, fault.Unprocessable) {
			t.Errorf("%q: %d, %v", text, r, err)
		}
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name, window string
		open, shut   []string
	}{
		{"work hours", "Mon-Fri 08:00-18:00 UTC = 50MB",
			[]string{"2026-03-02T08:00:00Z", "2026-03-06T17:59:59Z"},
			[]string{"2026-03-02T07:59:59Z", "2026-03-02T18:00:00Z", "2026-03-07T12:00:00Z"}},
		{"over midnight, of the day it begins", "Fri 22:00-06:00 UTC = 1MB",
			[]string{"2026-03-06T22:00:00Z", "2026-03-07T05:59:00Z"},
			[]string{"2026-03-06T05:00:00Z", "2026-03-07T06:00:00Z", "2026-03-07T23:00:00Z"}},
		{"every day", "00:00-24:00 UTC = 1MB", []string{"2026-03-01T00:00:00Z", "2026-03-01T23:59:59Z"}, nil},
		{"days in a list, over the week's end", "Sat-Mon,Wed 12:00-13:00 UTC = 1MB",
			[]string{"2026-03-07T12:30:00Z", "2026-03-08T12:30:00Z", "2026-03-09T12:30:00Z", "2026-03-11T12:30:00Z"},
			[]string{"2026-03-10T12:30:00Z", "2026-03-13T12:30:00Z"}},
		{"a zone, in winter and in summer", "08:00-09:00 Europe/Berlin = 1MB",
			[]string{"2026-03-02T07:30:00Z", "2026-07-01T06:30:00Z"},
			[]string{"2026-03-02T08:30:00Z", "2026-07-01T07:30:00Z"}},
	} {
		w, err := ParseWindow(c.window)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, text := range c.open {
			if !w.holds(at(text)) {
				t.Errorf("%s: shut at %s", c.name, text)
			}
		}
		for _, text := range c.shut {
			if w.holds(at(text)) {
				t.Errorf("%s: open at %s", c.name, text)
			}
		}
	}
	for _, text := range []string{
		"", "Mon-Fri = 5MB", "08:00-18:00", "08:00-18:00 = fast", "Mon-Fri 8:00-18:00 = 5MB", "08:00-08:00 = 5MB", "25:00-26:00 = 5MB",
		"24:00-06:00 = 5MB", "Mo-Fr 08:00-18:00 = 5MB", "08:00 = 5MB", "08:00-18:00 Mars/Phobos = 5MB", "08:00-18:00 UTC more = 5MB",
		"Mon Tue 08:00-18:00 = 5MB", "08:00-18:00 ../../etc/passwd = 5MB", "08:00-18:00 = -1", "Mon, 08:00-18:00 = 5MB",
	} {
		if _, err := ParseWindow(text); !fault.Is(err, fault.Unprocessable) {
			t.Errorf("%q: %v", text, err)
		}
	}
	p, err := ParsePlan("10MB", []string{"08:00-12:00 UTC = 1MB", "08:00-18:00 UTC = 2MB"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Rate{"2026-03-02T09:00:00Z": 1e6, "2026-03-02T13:00:00Z": 2e6, "2026-03-02T19:00:00Z": 10e6} {
		if got := p.At(at(text)); got != want {
			t.Errorf("%s at %s, want %s", got, text, want)
		}
	}
	if _, err := ParsePlan("", make([]string, MaxWindows+1)); !fault.Is(err, fault.Unprocessable) {
		t.Errorf("very many windows: %v", err)
	}
}
