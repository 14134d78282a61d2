//go:build e2e

package e2e

import (
	"debug/elf"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// The bars of an idle daemon. Machines that run tests are slow: startBar is
// printed, startLimit is asserted.
const (
	rssBar     = 40 * mib
	binaryBar  = 60 * 1000 * 1000
	startBar   = 200 * time.Millisecond
	startLimit = 5 * time.Second
	idleFor    = 15 * time.Second
)

// TestIdleBars: what the daemon costs when it has nothing to do.
func TestIdleBars(t *testing.T) {
	for _, name := range []string{"hypervisord", "hyperexport", "hyperctl"} {
		static(t, program(name))
	}
	h := newHouse(t, vcsim.Options{VMs: smallVMs()[:1]})
	h.start().stop() // the first start makes keys and the schema
	began := time.Now()
	d := h.start()
	eventually(t, "/readyz", func() bool {
		res, err := http.Get(d.url + "/readyz")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	took := time.Since(began)
	t.Logf("start to /readyz: %s (bar %s)", took.Round(time.Millisecond), startBar)
	if took > startLimit {
		t.Errorf("the start took %s", took)
	}
	rss := rssOf(t, d.cmd.Process.Pid)
	t.Logf("at its start: %.1f MiB resident", float64(rss)/mib)
	since := time.Now() // for so long it has been below the bar: a moment below it is no proof
	eventually(t, fmt.Sprintf("an idle daemon to stay below %d MiB for %s", rssBar/mib, idleFor), func() bool {
		if rss = rssOf(t, d.cmd.Process.Pid); rss > rssBar {
			since = time.Now()
		}
		return time.Since(since) >= idleFor
	})
	t.Logf("idle: %.1f MiB resident (bar %d MiB)", float64(rss)/mib, rssBar/mib)
	d.stop()
}

// static asserts that a program needs no other file to run, and its size.
func static(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_DYNAMIC || p.Type == elf.PT_INTERP {
			t.Errorf("%s is not static: it has a %s segment", path, p.Type)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.1f MB (bar %d MB)", st.Name(), float64(st.Size())/1e6, binaryBar/1000/1000)
	if st.Size() > binaryBar {
		t.Errorf("%s has %d bytes", path, st.Size())
	}
}

var vmRSS = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

func rssOf(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := vmRSS.FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmRSS in %s", text)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
