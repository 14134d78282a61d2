package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// bars are the largest ratios to REST's latency that we promise, and that of a submit
// with all that stands around it to one without. A contestant without one only tells.
var bars = map[string]float64{"gRPC": 1, "GraphQL": 2, "with": 1.3}

// verdict says what became of the contestant's bar.
func (r row) verdict() string {
	bar, ok := bars[r.name]
	if !ok {
		return ""
	}
	said := fmt.Sprintf("≤ %.1f: ", bar)
	switch {
	case r.mean <= bar && r.p50 <= bar:
		return said + "held"
	case r.mean <= bar:
		return said + "held by the mean, **missed** by p50"
	case r.p50 <= bar:
		return said + "held by p50, **missed** by the mean"
	}
	return said + "**missed**"
}

func (b *bench) report() error {
	var t strings.Builder
	fmt.Fprintf(&t, "# The doors compared\n\nMade by `make bench-apis` on %s: %d cores, %d clients beside a daemon of its own process on SQLite with every commit synced, "+
		"median of %d turns of %s, in turns. Every client has a connection of its own, but those of the rows named gRPC, and REST by HTTP/2, share one, as the callers of a program do. Clients decode their answers, on the same cores. The daemon keeps the jobs (they wait for tomorrow) and logs each request. "+
		"Allocations and CPU are the daemon's alone.\n\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), b.clients, b.rounds, b.turn)
	t.WriteString("The columns with × are ratios to the first row: the median of the rounds, each against the first row's turn of the same round. " +
		"The mean is what a call costs all clients together (clients / calls per second); the median of a machine that is busy tells besides whose turn comes first: " +
		"connections of HTTP/1.1 are served less evenly, with a lower p50 and a higher p99, than the calls that share one of HTTP/2. A bar is held by both, or it is said by which. " +
		"get asks for one of 200 jobs, list for the newest 50 with all their fields.\n\n")
	for i, s := range b.sections {
		if s.name == overhead {
			t.WriteString("\n## What stands around a submit\n\nThe same submit to three servers in turns. `bare` has the daemon's HTTP stack (log and metrics of each request included), service, store and dispatcher, and nothing around the call: " +
				"no credentials, limits and traces, and nobody puts the events into the audit log. `without` is the daemon with authentication, limits and traces switched off: the audit log cannot be. " +
				"`with` is the daemon that looks up an API key and a limit, sends its traces to a collector, and hashes and signs the audit log. " +
				"The event of a submit belongs to its transaction, in all three.\n\n")
		}
		if s.name == overhead || i == 0 {
			t.WriteString("| operation | | calls/s | mean | p50 | p99 | mean × | p50 × | p99 × | bar | allocs | KiB | CPU |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
		}
		for j, r := range s.rows {
			ratios := " | | "
			if j > 0 {
				ratios = fmt.Sprintf("%.2f | %.2f | %.2f", r.mean, r.p50, r.p99)
			}
			m := r.median
			fmt.Fprintf(&t, "| %s | %s | %.0f | %s | %s | %s | %s | %s | %.0f | %.1f | %s |\n", s.name, r.name, m.rate, m.mean, m.p50, m.p99, ratios, r.verdict(), m.allocs, m.bytes/1024, m.cpu)
		}
		if s.note != "" {
			t.WriteString("\n" + s.note + "\n")
		}
	}
	if b.out == "-" {
		_, err := os.Stdout.WriteString(t.String())
		return err
	}
	return os.WriteFile(b.out, []byte(t.String()), 0o644) //nolint:gosec // a document
}
