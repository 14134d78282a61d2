// Command apis compares the doors of one real daemon: REST, gRPC and GraphQL, for
// submit, get and list, with so many clients at once that each have a connection.
// The doors take turns on the same jobs; ratios to REST are what counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var b bench
	flag.IntVar(&b.clients, "clients", 16, "clients at once")
	flag.IntVar(&b.rounds, "rounds", 5, "turns of each door; the median counts")
	flag.DurationVar(&b.turn, "turn", 2*time.Second, "length of a turn")
	flag.StringVar(&b.bin, "bin", "bin/hypervisord", "the daemon")
	flag.StringVar(&b.out, "out", "docs/bench/apis.md", "where the tables go; - for standard output only")
	ops := flag.String("operations", "submit,get,list,overhead", "what is measured")
	doors := flag.String("doors", "REST,REST by HTTP/2,gRPC,gRPC each,GraphQL", "what is compared with the first")
	flag.Parse()
	b.doors, b.ops = strings.Split(*doors, ","), strings.Split(*ops, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if flag.Arg(0) == bare.name {
		err = serveBare(ctx, flag.Arg(1), flag.Arg(2))
	} else {
		err = b.run(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	clients, rounds int
	turn            time.Duration
	bin, out        string
	doors, ops      []string

	dir      string // of everything, removed at the end
	sections []section
}

// overhead is the operation that compares what stands around a submit; the others
// compare the doors.
const overhead = "overhead"

func (b *bench) run(ctx context.Context) error {
	var err error
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "hypervisord-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // temporary
	for _, op := range b.ops {
		compare := b.compareDoors
		if op == overhead {
			compare = b.compareGuards
		}
		if err := compare(ctx, op); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return b.report()
}

// seeded is how many jobs are there before get and list are measured.
const seeded = 200

func (b *bench) compareDoors(ctx context.Context, op string) error {
	d, err := b.start(ctx, filepath.Join(b.dir, op), everything)
	if err != nil {
		return err
	}
	defer d.stop()
	ids, err := d.seed(ctx, seeded)
	if err != nil {
		return err
	}
	s := section{name: op}
	var contestants []contestant
	for _, name := range b.doors {
		c := contestant{name: name, daemon: d}
		for range b.clients {
			door, err := open(name, d)
			if err != nil {
				return err
			}
			defer door.close()
			c.calls = append(c.calls, call(door, op, ids))
		}
		contestants = append(contestants, c)
	}
	if s.rows, err = b.turns(ctx, contestants); err != nil {
		return err
	}
	b.sections = append(b.sections, s)
	return nil
}

// compareGuards submits to a server with nothing around a call, to a daemon with as
// little of it as the configuration allows, and to one with all of it.
func (b *bench) compareGuards(ctx context.Context, op string) error {
	s := section{name: op}
	collector, err := collect()
	if err != nil {
		return err
	}
	defer collector.stop()
	var contestants []contestant
	for _, kind := range []guard{bare, nothing, everything} {
		kind.collector = collector.url
		var d *daemon
		if dir := filepath.Join(b.dir, kind.name); kind.name == bare.name {
			d, err = b.startBare(ctx, dir)
		} else {
			d, err = b.start(ctx, dir, kind)
		}
		if err != nil {
			return err
		}
		defer d.stop()
		c := contestant{name: kind.name, daemon: d}
		for range b.clients {
			door, err := open("REST", d)
			if err != nil {
				return err
			}
			defer door.close()
			c.calls = append(c.calls, call(door, "submit", nil))
		}
		contestants = append(contestants, c)
	}
	if s.rows, err = b.turns(ctx, contestants); err != nil {
		return err
	}
	if collector.spans() == 0 {
		s.note = "The daemon sent no spans: it traces nothing."
	}
	b.sections = append(b.sections, s)
	return nil
}
