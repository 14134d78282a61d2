// Command bench compares hypervisord with what people use today, on one disk, in
// one run, interleaved: wall time, CPU time and peak memory as ratios. Absolute
// times depend on the machine and its noise; the ratios are what counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	var b bench
	flag.Int64Var(&b.size, "size", 2<<30, "size of the disk in bytes")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each command runs; the median counts")
	flag.StringVar(&b.only, "only", "", "run only the sections whose name contains this")
	flag.StringVar(&b.out, "out", "docs/bench/results.md", "where the table goes; - for standard output only")
	flag.StringVar(&b.bin, "bin", "bin", "directory of hypervisord and hyperexport")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	size   int64
	rounds int
	only   string
	out    string
	bin    string

	dir      string // of everything, removed at the end
	raw      string // the disk
	vmdk     string // the same as streamOptimized
	vcenter  *vcenter
	sections []section
}

func (b *bench) run(ctx context.Context) error {
	var err error
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "hypervisord-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // temporary
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{b.conversions, b.exports, b.chains} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if err := b.vcenter.stop(); err != nil {
		return err
	}
	floor, err := b.floor()
	if err != nil {
		return err
	}
	return b.report(floor)
}
