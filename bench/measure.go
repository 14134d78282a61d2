package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is what one run of one or several commands cost.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system
	rss  int64         // peak, bytes
}

// command is one contestant: commands that run one after the other.
type command struct {
	name  string
	steps [][]string
	clean []string // removed before each run
}

// section is one comparison.
type section struct {
	name string
	ours string
	bar  string // what we promise
	rows []row
}

type row struct {
	name   string
	median sample
	all    []sample
}

// measure runs a contestant once.
func (c *command) measure(ctx context.Context) (sample, error) {
	for _, path := range c.clean {
		if err := os.RemoveAll(path); err != nil {
			return sample{}, err
		}
	}
	syscall.Sync() // what an earlier contestant left is not this one's cost
	var s sample
	for _, step := range c.steps {
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			return s, fmt.Errorf("%s: %w\n%s", strings.Join(step, " "), err, out.String())
		}
		s.wall += time.Since(begun)
		s.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			s.rss = max(s.rss, u.Maxrss<<10)
		}
	}
	return s, nil
}

// compare runs all contestants in turns; the first is ours.
func (b *bench) compare(ctx context.Context, name, bar string, contestants ...command) error {
	if !strings.Contains(name, b.only) {
		return nil
	}
	s := section{name: name, bar: bar, ours: contestants[0].name}
	for _, c := range contestants {
		s.rows = append(s.rows, row{name: c.name})
	}
	for range b.rounds {
		for i := range contestants {
			m, err := contestants[i].measure(ctx)
			if err != nil {
				return err
			}
			s.rows[i].all = append(s.rows[i].all, m)
		}
	}
	for i := range s.rows {
		s.rows[i].median = median(s.rows[i].all)
		fmt.Printf("%-50s %-46s %6.2fs wall %6.2fs cpu %4d MiB\n", name, s.rows[i].name,
			s.rows[i].median.wall.Seconds(), s.rows[i].median.cpu.Seconds(), s.rows[i].median.rss>>20)
	}
	for _, c := range contestants {
		for _, path := range c.clean {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	b.sections = append(b.sections, s)
	return nil
}

func median(all []sample) sample {
	mid := func(f func(sample) int64) int64 {
		v := make([]int64, len(all))
		for i, s := range all {
			v[i] = f(s)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return sample{
		wall: time.Duration(mid(func(s sample) int64 { return int64(s.wall) })),
		cpu:  time.Duration(mid(func(s sample) int64 { return int64(s.cpu) })),
		rss:  mid(func(s sample) int64 { return s.rss }),
	}
}
