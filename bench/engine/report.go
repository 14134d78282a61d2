package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	database string
	what     string
	show     show
	ours     result
	river    *result
	verdict  string
}

// show writes a result.
type show func(r result) string

func rate(r result) string { return fmt.Sprintf("%.0f /s", r.Rate) }

func latency(r result) string { return fmt.Sprintf("p50 %.2f, p99 %.2f ms", r.P50, r.P99) }

func sustained(r result) string { return latency(r) + fmt.Sprintf(", %.0f completed /s", r.Rate) }

func memory(r result) string { return fmt.Sprintf("%d MiB", r.Bytes>>20) }

// ratio is above 1 where ours is better: of rates, median latencies or memory.
func (r row) ratio() string {
	switch {
	case r.river == nil:
		return ""
	case r.ours.Rate > 0:
		return fmt.Sprintf("%.2f", r.ours.Rate/r.river.Rate)
	case r.ours.P50 > 0:
		return fmt.Sprintf("%.2f", r.river.P50/r.ours.P50)
	}
	return fmt.Sprintf("%.2f", float64(r.river.Bytes)/float64(r.ours.Bytes))
}

func (r row) cells() (ours, river string) {
	if r.river != nil {
		river = r.show(*r.river)
	}
	return r.show(r.ours), river
}

// String is for the terminal.
func (r row) String() string {
	ours, river := r.cells()
	return fmt.Sprintf("%-10s  %-70s ours %-32s River %-32s %6s  %s", r.database, r.what, ours, river, r.ratio(), r.verdict)
}

// report writes the table.
func (b *bench) report(ctx context.Context) error {
	var t strings.Builder
	fmt.Fprintf(&t, "# The job engine against River\n\nMade by `make bench-engine` on %s in %v: %d cores (%s), Linux %s, %s, load average %s before and %s after. %s\n\n",
		time.Now().UTC().Format(time.DateOnly), time.Since(b.began).Round(time.Second), runtime.NumCPU(), cpuModel(), kernel(),
		runtime.Version(), b.load, loadAverage(), versions(ctx))
	fmt.Fprintf(&t, "Medians of %d rounds, the engines in turns. A ratio above 1 means that ours is better (of rates, median latencies, memory). "+
		"What the words mean: [README.md](README.md#the-job-engine).\n\n", b.rounds)
	t.WriteString("| database | | ours | River | ratio | bar |\n|---|---|---|---|---|---|\n")
	for _, r := range b.rows {
		ours, river := r.cells()
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s |\n", r.database, r.what, ours, river, r.ratio(), r.verdict)
	}
	fmt.Print("\n", t.String())
	if b.out == "-" {
		return nil
	}
	return os.WriteFile(b.out, []byte(t.String()), 0o600)
}

// versions names what was compared.
func versions(ctx context.Context) string {
	var all []string
	if db, err := sql.Open("sqlite", ":memory:"); err == nil {
		var v string
		if db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&v) == nil {
			all = append(all, "SQLite "+v)
		}
		_ = db.Close() // in memory
	}
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); err == nil && len(found) > 0 {
		if out, err := exec.CommandContext(ctx, found[len(found)-1], "--version").Output(); err == nil { //nolint:gosec // Debian's
			all = append(all, strings.TrimSpace(string(out)))
		}
	}
	info, _ := debug.ReadBuildInfo()
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/riverqueue/river", "modernc.org/sqlite", "github.com/jackc/pgx/v5":
			all = append(all, d.Path+" "+d.Version)
		}
	}
	return strings.Join(all, ", ") + "."
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // "unknown" if it cannot be read
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown"
}

func kernel() string { return firstWord("/proc/sys/kernel/osrelease") }

func loadAverage() string { return firstWord("/proc/loadavg") }

func firstWord(file string) string {
	text, _ := os.ReadFile(file) //nolint:gosec // of the kernel
	word, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return word
}

// thousands writes 1000000 as 1,000,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
