package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report writes the table.
func (b *bench) report(fl floor) error {
	var t strings.Builder
	fmt.Fprintf(&t, "# Benchmark results\n\nMade by `make bench` on %s, %d cores (%s), disk of %d MiB with %d MiB of content, median of %d rounds, contestants in turns.\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), cpuModel(), b.size>>20, fl.bytes>>20, b.rounds)
	t.WriteString("Ratios above 1 mean that we are better. `bar` is what we promise; a miss is marked.\n\n")
	t.WriteString("| comparison | contestant | wall s | CPU s | peak MiB | wall ratio | CPU ratio | bar (wall) |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range b.sections {
		us := s.rows[0].median
		best := s.rows[1].median.wall
		for _, r := range s.rows[1:] {
			best = min(best, r.median.wall)
		}
		for i, r := range s.rows {
			ratio := func(them, us time.Duration) string {
				if i == 0 {
					return ""
				}
				return fmt.Sprintf("%.2f", them.Seconds()/us.Seconds())
			}
			fmt.Fprintf(&t, "| %s | %s | %.2f | %.2f | %d | %s | %s | %s |\n", s.name, r.name, r.median.wall.Seconds(), r.median.cpu.Seconds(),
				r.median.rss>>20, ratio(r.median.wall, us.wall), ratio(r.median.cpu, us.cpu), verdict(i, s.bar, best, us.wall))
		}
	}
	cores := time.Duration(runtime.NumCPU())
	least := (fl.inflate + fl.hash + fl.copy) / cores
	fmt.Fprintf(&t, "\n## The floor\n\nOn one core: inflating all grains takes %.2f s, SHA-256 of the content %.2f s, one copy in memory %.2f s. "+
		"A verified conversion on %d cores cannot take less than about %.2f s of wall time plus writing.\n\n",
		fl.inflate.Seconds(), fl.hash.Seconds(), fl.copy.Seconds(), cores, least.Seconds())
	for _, s := range b.sections {
		if strings.HasPrefix(s.name, "convert VMDK") {
			fmt.Fprintf(&t, "- %s: %.2f times the floor\n", s.name, s.rows[0].median.wall.Seconds()/least.Seconds())
		}
	}
	fmt.Print("\n", t.String())
	if b.out == "-" {
		return nil
	}
	return os.WriteFile(b.out, []byte(t.String()), 0o600)
}

// verdict compares the best of the others with the bar.
func verdict(i int, bar string, best, us time.Duration) string {
	if i != 0 {
		return ""
	}
	var want float64
	if _, err := fmt.Sscan(bar, &want); err != nil {
		return bar
	}
	got := best.Seconds() / us.Seconds()
	if got < want {
		return fmt.Sprintf("≥ %s: **missed** (%.2f)", bar, got)
	}
	return fmt.Sprintf("≥ %s: held (%.2f)", bar, got)
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown"
}
