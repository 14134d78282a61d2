package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// bench is one run.
type bench struct {
	only    string
	dir     string
	rounds  int
	size    int
	sustain time.Duration
	out     string

	began time.Time
	load  string // when it began
	rows  []row
}

func (b *bench) run(ctx context.Context) (err error) {
	b.began, b.load = time.Now(), loadAverage()
	if b.dir, err = os.MkdirTemp(b.dir, "hypervisord-engine-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // temporary
	for _, d := range []struct {
		name string
		run  func(context.Context) error
	}{{"sqlite", b.sqlite}, {"postgres", b.postgres}} {
		if b.only != "" && b.only != d.name {
			continue
		}
		if err := d.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return b.report(ctx)
}

func (b *bench) sqlite(ctx context.Context) error {
	dir := filepath.Join(b.dir, "sqlite")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return b.database(ctx, sqliteBars, contestant{engine: "ours", dir: dir}, contestant{engine: "river", dir: dir})
}

// postgres runs a server of its own, with fsync as in production.
func (b *bench) postgres(ctx context.Context) (err error) {
	if os.Geteuid() == 0 { // the server runs as another user
		if err := os.Chmod(b.dir, 0o755); err != nil { //nolint:gosec // see above
			return err
		}
	}
	server, err := pgtest.Start(ctx, "fsync=on", "max_wal_size=4GB", "shared_buffers=256MB")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	var pair [2]contestant
	for i, name := range []string{"ours", "river"} {
		url, err := server.Create(ctx)
		if err != nil {
			return err
		}
		pair[i] = contestant{engine: name, dir: filepath.Join(b.dir, "postgres-"+name), url: url}
	}
	return b.database(ctx, postgresBars, pair[0], pair[1])
}

// database measures both engines on one database, in turns.
func (b *bench) database(ctx context.Context, t bars, ours, river contestant) (err error) {
	var ps [2]*process
	for i, c := range []contestant{ours, river} {
		if ps[i], err = start(ctx, c); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ps[i].stop()) }()
	}
	m := match{bench: b, database: t.database, ps: ps}
	return cmp.Or(m.small(t), m.claims(t), m.large(t), m.memory())
}

// match is the comparison on one database.
type match struct {
	bench    *bench
	database string
	ps       [2]*process
}

// small measures with nearly nothing in the tables.
func (m *match) small(t bars) error {
	return cmp.Or(
		m.compare("durable submits, 1 client", order{Do: "submit", Clients: 1, Batch: 1, Seconds: 1}, rate, bar{}),
		m.compare("durable submits, 16 clients", order{Do: "submit", Clients: 16, Batch: 1, Seconds: 1.5}, rate, t.submits),
		m.compare("durable submits, batches of 100", order{Do: "submit", Clients: 1, Batch: 100, Seconds: 1}, rate, bar{}),
		m.compare("submit → start", order{Do: "latency", N: 200}, latency, t.start),
		m.compare("no-op jobs end to end", order{Do: "flow", N: 4000}, rate, t.flow))
}

// claims measures how long one claim takes in tables of rising size.
func (m *match) claims(t bars) error {
	var first result
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		if size > m.bench.size {
			continue
		}
		if err := m.fill(size); err != nil {
			return err
		}
		var all []result
		for range m.bench.rounds {
			r, err := m.ps[0].do(order{Do: "claim", N: 500})
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		r := median(all)
		if first.P99 == 0 {
			first = r
		}
		m.add(row{what: fmt.Sprintf("claim, %s jobs in the table", thousands(size)), show: latency, ours: r, verdict: t.claim.growth(first, r)})
	}
	return nil
}

// large measures with the largest table.
func (m *match) large(t bars) error {
	at := " with " + thousands(m.bench.size) + " jobs in the table"
	return cmp.Or(
		m.compare("durable submits, 16 clients,"+at, order{Do: "submit", Clients: 16, Batch: 1, Seconds: 1.5}, rate, bar{}),
		m.compare("submit → start"+at, order{Do: "latency", N: 200}, latency, bar{}),
		m.compare("no-op jobs end to end"+at, order{Do: "flow", N: 4000}, rate, t.largeFlow),
		m.compare("page of 50 jobs"+at, order{Do: "list", N: 100}, latency, t.page),
		m.alone(fmt.Sprintf("64 clients submit for %v while jobs run,", m.bench.sustain)+at,
			order{Do: "sustain", Clients: 64, Seconds: m.bench.sustain.Seconds()}, sustained, t.sustained))
}

func (m *match) fill(size int) error {
	for _, p := range m.ps {
		if _, err := p.do(order{Do: "fill", N: size}); err != nil {
			return err
		}
	}
	return nil
}

func (m *match) memory() error {
	return m.compareOnce("most memory of the process in all of this", order{Do: "memory"}, memory)
}

// compare takes one measurement of both, in turns, several times.
func (m *match) compare(what string, o order, show show, b bar) error {
	var all [2][]result
	for i := range 2 * m.bench.rounds {
		r, err := m.ps[i%2].do(o)
		if err != nil {
			return err
		}
		all[i%2] = append(all[i%2], r)
	}
	ours, river := median(all[0]), median(all[1])
	m.add(row{what: what, show: show, ours: ours, river: &river, verdict: b.verdict(ours, &river)})
	return nil
}

func (m *match) compareOnce(what string, o order, show show) error {
	ours, err := m.ps[0].do(o)
	if err != nil {
		return err
	}
	river, err := m.ps[1].do(o)
	m.add(row{what: what, show: show, ours: ours, river: &river})
	return err
}

// alone takes one measurement of ours.
func (m *match) alone(what string, o order, show show, b bar) error {
	ours, err := m.ps[0].do(o)
	m.add(row{what: what, show: show, ours: ours, verdict: b.verdict(ours, nil)})
	return err
}

func (m *match) add(r row) {
	r.database = m.database
	m.bench.rows = append(m.bench.rows, r)
	fmt.Println(r)
}

// median takes that of each number.
func median(all []result) result {
	mid := func(f func(result) float64) float64 {
		v := make([]float64, len(all))
		for i, r := range all {
			v[i] = f(r)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return result{
		Rate: mid(func(r result) float64 { return r.Rate }), P50: mid(func(r result) float64 { return r.P50 }),
		P99: mid(func(r result) float64 { return r.P99 }), Max: mid(func(r result) float64 { return r.Max }),
	}
}

// process is a contestant at work.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func start(ctx context.Context, c contestant) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-contestant", c.engine, "-state", c.dir, "-postgres", c.url) //nolint:gosec // ourselves
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, in: in, out: json.NewDecoder(out)}, cmd.Start()
}

func (p *process) do(o order) (r result, err error) {
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		return r, err
	}
	if err := p.out.Decode(&r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

func (p *process) stop() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
