package abuse_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"
)

// abuse is one hostile call, or several that belong together.
type abuse struct {
	name  string
	try   func(w *world, c caller) string // c calls as the tenant "us" from an address of its own
	want  string                          // the one right answer, in a word
	waits bool                            // for a time-out: it runs beside others
}

// abuses are all of them.
func abuses() []abuse {
	return slices.Concat(bodies(), slowness(), headers(), paths(), credentials(), forgeries(), graphs(), rpcs(), strangers(), webhooks(), floods(), connections(), frames())
}

// leastCases is how many the suite must hold.
const leastCases = 60

// Bounds of the process after the suite. The race detector needs several times as
// much.
const (
	maxHeap = 96 << 20
	maxRSS  = 1 << 30
)

// TestAbuse: each case has its one right answer and none is the daemon's own fault;
// after each the daemon serves as before.
func TestAbuse(t *testing.T) {
	w := newWorld(t)
	all := abuses()
	if len(all) < leastCases {
		t.Errorf("only %d cases", len(all))
	}
	seen := map[string]bool{}
	t.Run("case", func(t *testing.T) {
		for i, a := range all {
			if seen[a.name] {
				t.Errorf("%q is there twice", a.name)
			}
			seen[a.name] = true
			t.Run(a.name, func(t *testing.T) {
				c := w.us.from(t, fmt.Sprintf("127.2.%d.%d", i/250, 1+i%250))
				if a.waits {
					t.Parallel()
				}
				if got := a.try(w, c); got != a.want {
					t.Errorf("%q, want %q", got, a.want)
				}
				if got := w.root.rest("GET", "/jobs", ""); got != "200" {
					t.Fatalf("afterwards a normal request: %s", got)
				}
			})
		}
	})
	w.checkLog(t)
	if n := len(w.inside.got()); n != 0 {
		t.Errorf("%d calls of webhooks reached the inside", n)
	}
	checkMemory(t)
	t.Logf("%d cases", len(all))
}

// from is the caller at another address, in a test of its own.
func (c caller) from(t *testing.T, ip string) caller {
	c = c.world.caller(ip, c.key)
	c.t = t
	return c
}

// checkLog: each line is one JSON object, whatever the callers sent, and holds neither
// their credentials nor a failure of ours.
func (w *world) checkLog(t *testing.T) {
	t.Helper()
	n := 0
	for line := range strings.Lines(w.log.String()) {
		n++
		var e struct {
			Time   string `json:"time"`
			Level  string `json:"level"`
			Msg    string `json:"msg"`
			Status int    `json:"status"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time == "" || e.Level == "" {
			t.Errorf("a line that is none: %q", line)
		}
		if e.Level == "ERROR" || e.Msg == "panic" || e.Status == 500 {
			t.Errorf("a failure of ours: %s", line)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("what a terminal obeys: %q", line)
		}
		for _, secret := range []string{rootKey, w.us.key, w.them.key, canary, "eyJ"} { // the last begins every token
			if strings.Contains(line, secret) {
				t.Errorf("a secret: %s", line)
			}
		}
	}
	if n < leastCases {
		t.Errorf("the log holds %d lines", n)
	}
}

// canary marks what the log must not hold.
const canary = "canary-4711"

func checkMemory(t *testing.T) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	peak := u.Maxrss << 10
	t.Logf("heap %d MiB, peak RSS %d MiB, CPU %d s", m.HeapAlloc>>20, peak>>20, u.Utime.Sec+u.Stime.Sec)
	if m.HeapAlloc > maxHeap || peak > maxRSS {
		t.Errorf("heap %d MiB, peak RSS %d MiB", m.HeapAlloc>>20, peak>>20)
	}
}
