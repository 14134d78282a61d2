// Command engine compares the job engine of hypervisord with River on the same
// database in the same run, the two in turns: durable submits, submit to start,
// jobs end to end, and what a table of a million jobs does to claims and lists.
// It is a module of its own so that River stays out of the program's
// dependencies.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	var b bench
	var c contestant
	flag.StringVar(&b.only, "only", "", "sqlite or postgres; empty: both")
	flag.StringVar(&b.dir, "dir", "", "where the databases are made, on a disk that is not memory; empty: the system's temporary directory")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each measurement is taken; the median counts")
	flag.IntVar(&b.size, "size", 1_000_000, "jobs of the largest table")
	flag.DurationVar(&b.sustain, "sustain", 20*time.Second, "how long 64 clients submit while jobs run; minutes by hand")
	flag.StringVar(&b.out, "out", "../../docs/bench/engine.md", "where the table goes; - for standard output only")
	flag.StringVar(&c.engine, "contestant", "", "internal: serve one engine on standard input")
	flag.StringVar(&c.dir, "state", "", "internal: its directory")
	flag.StringVar(&c.url, "postgres", "", "internal: its PostgreSQL database; empty: SQLite")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	run := b.run
	if c.engine != "" {
		run = c.serve
	}
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
