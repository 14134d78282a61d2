package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// contestant is one way to call a daemon, by several clients.
type contestant struct {
	name   string
	daemon *daemon
	calls  []func(context.Context) error
}

// sample is one turn.
type sample struct {
	rate          float64 // calls a second
	mean          time.Duration
	p50, p99      time.Duration
	allocs, bytes float64       // of the daemon, for each call
	cpu           time.Duration // of the daemon, for each call
}

type section struct {
	name string
	rows []row
	note string
}

// row is a contestant. Its ratios are the medians of those to the first contestant in
// the same round: what else the machine does then slows down both.
type row struct {
	name           string
	median         sample
	mean, p50, p99 float64
}

// turns lets the contestants take turns, each round another one first, after a round
// that does not count.
func (b *bench) turns(ctx context.Context, contestants []contestant) ([]row, error) {
	all := make([][]sample, len(contestants))
	for round := range b.rounds + 1 {
		for k := range contestants {
			i := (k + round) % len(contestants)
			s, err := b.measure(ctx, contestants[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contestants[i].name, err)
			}
			if round > 0 {
				all[i] = append(all[i], s)
			}
		}
	}
	rows := make([]row, len(contestants))
	for i, c := range contestants {
		to := func(f func(sample) time.Duration) float64 {
			ratios := make([]float64, len(all[i]))
			for round, s := range all[i] {
				ratios[round] = f(s).Seconds() / f(all[0][round]).Seconds()
			}
			return middle(ratios)
		}
		rows[i] = row{c.name, median(all[i]), to(sample.ofMean), to(sample.ofP50), to(sample.ofP99)}
		m := rows[i].median
		fmt.Printf("%-10s %7.0f/s  mean %-10s p50 %-10s p99 %-10s %6.0f allocs %8.0f bytes %s CPU; to the first: mean %.2f p50 %.2f p99 %.2f\n",
			c.name, m.rate, m.mean, m.p50, m.p99, m.allocs, m.bytes, m.cpu, rows[i].mean, rows[i].p50, rows[i].p99)
	}
	return rows, nil
}

// measure lets all clients call for one turn.
func (b *bench) measure(ctx context.Context, c contestant) (sample, error) {
	before, err := c.daemon.costs(ctx)
	if err != nil {
		return sample{}, err
	}
	begun := time.Now()
	took := make([][]time.Duration, len(c.calls))
	var g errgroup.Group
	for i, f := range c.calls {
		g.Go(func() error {
			for time.Since(begun) < b.turn {
				at := time.Now()
				if err := f(ctx); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(at))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return sample{}, err
	}
	wall := time.Since(begun)
	after, err := c.daemon.costs(ctx)
	if err != nil {
		return sample{}, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	n := float64(len(all))
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return sample{
		rate: n / wall.Seconds(), mean: sum / time.Duration(len(all)), p50: all[len(all)/2], p99: all[len(all)*99/100],
		allocs: (after.allocs - before.allocs) / n, bytes: (after.bytes - before.bytes) / n, cpu: time.Duration(float64(after.cpu-before.cpu) / n),
	}, nil
}

// costs are what a daemon has used since its start. Asking costs a little, too.
type costs struct {
	allocs, bytes float64
	cpu           time.Duration
}

func (d *daemon) costs(ctx context.Context) (c costs, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.addr+"/metrics", http.NoBody)
	if err != nil {
		return c, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	found := 0
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		into := map[string]*float64{"go_memstats_mallocs_total": &c.allocs, "go_memstats_alloc_bytes_total": &c.bytes}[name]
		if into != nil {
			found++
			if *into, err = strconv.ParseFloat(value, 64); err != nil {
				return c, err
			}
		}
	}
	if found != 2 {
		return c, fmt.Errorf("%d of 2 metrics are there", found)
	}
	c.cpu, err = cpuOf(d.cmd.Process.Pid)
	return c, err
}

// cpuOf is the user and system time of a process, by Linux's clock of 100 Hz.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil
}

func (s sample) ofMean() time.Duration { return s.mean }
func (s sample) ofP50() time.Duration  { return s.p50 }
func (s sample) ofP99() time.Duration  { return s.p99 }

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func median(all []sample) sample {
	mid := func(f func(sample) float64) float64 {
		v := make([]float64, len(all))
		for i, s := range all {
			v[i] = f(s)
		}
		return middle(v)
	}
	of := func(f func(sample) time.Duration) time.Duration {
		return time.Duration(mid(func(s sample) float64 { return float64(f(s)) })).Round(time.Microsecond)
	}
	return sample{
		rate: mid(func(s sample) float64 { return s.rate }), allocs: mid(func(s sample) float64 { return s.allocs }), bytes: mid(func(s sample) float64 { return s.bytes }),
		mean: of(sample.ofMean), p50: of(sample.ofP50), p99: of(sample.ofP99), cpu: of(func(s sample) time.Duration { return s.cpu }),
	}
}
