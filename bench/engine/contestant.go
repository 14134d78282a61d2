package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// contestant is one engine on one database, in a process of its own: its memory
// is its own, and no garbage of the other is collected on its time.
type contestant struct {
	engine string // ours or river
	dir    string
	url    string
}

// engine is what both can do. Parked jobs are stored like any other, and are in
// the way like any other, but nobody works on them.
type engine interface {
	// submit stores n jobs in one transaction; durable when it returns.
	submit(ctx context.Context, n int, parked bool) error
	// work starts workers that do nothing. started is called when a job begins,
	// ended after its completion was committed.
	work(ctx context.Context, workers int, started, ended func()) (stop func() error, err error)
	// list reads the first page of jobs, or the one behind the last one read.
	list(ctx context.Context) error
	// fill makes copies of what is there until the table holds size jobs, half of
	// them parked, half completed.
	fill(ctx context.Context, size int) error
	close() error
}

// claimer can be asked for one job.
type claimer interface {
	// claim takes one job of size that wait; putBack undoes it.
	claim(ctx context.Context) (putBack func() error, err error)
	// park says whether the parked jobs may be claimed.
	park(ctx context.Context, parked bool) error
}

// order tells a contestant what to measure.
type order struct {
	Do      string  `json:"do"` // submit, latency, flow, fill, claim, list, sustain, memory
	Clients int     `json:"clients,omitempty"`
	Batch   int     `json:"batch,omitempty"`
	N       int     `json:"n,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// result is what came out; latencies in milliseconds.
type result struct {
	Rate  float64 `json:"rate,omitempty"` // jobs per second
	P50   float64 `json:"p50,omitempty"`
	P99   float64 `json:"p99,omitempty"`
	Max   float64 `json:"max,omitempty"`
	Bytes int64   `json:"bytes,omitempty"`
	Error string  `json:"error,omitempty"`
}

func (c *contestant) open(ctx context.Context) (engine, error) {
	switch {
	case c.engine == "ours":
		return openOurs(ctx, c.dir, c.url)
	case c.url != "":
		return openRiverPostgres(ctx, c.url)
	}
	return openRiverSQLite(ctx, c.dir)
}

// serve carries out the orders of standard input until it ends.
func (c *contestant) serve(ctx context.Context) (err error) {
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, err := carryOut(ctx, e, o)
		if err != nil {
			r.Error = fmt.Sprintf("%s: %v", o.Do, err)
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

func carryOut(ctx context.Context, e engine, o order) (result, error) {
	switch o.Do {
	case "submit":
		return measureSubmit(ctx, e, o)
	case "latency":
		return measureLatency(ctx, e, o)
	case "flow":
		return measureFlow(ctx, e, o)
	case "fill":
		return result{}, e.fill(ctx, o.N)
	case "claim":
		return measureClaim(ctx, e, o)
	case "list":
		return measureList(ctx, e, o)
	case "sustain":
		return measureSustained(ctx, e, o)
	case "memory":
		return measureMemory()
	}
	return result{}, errors.New("unknown order")
}

// measureMemory reads the most memory that this process had at once.
func measureMemory() (r result, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return r, err
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			r.Bytes = kib << 10
		}
	}
	return r, nil
}
