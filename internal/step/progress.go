package step

import (
	"context"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/job"
)

const (
	meterTick = 500 * time.Millisecond
	smoothing = 0.25 // weight of the newest tick in a rate
)

// meter turns counters into progress reports.
type meter struct {
	report func(job.Progress)
	pace   pace

	mu    sync.Mutex
	name  string
	moved int64 // read from the source before the disks below
	disks []*diskMeter
	rate  rate
}

// diskMeter is one disk in one phase.
type diskMeter struct {
	job.DiskProgress
	n    *disk.Counters
	rate rate
}

// rate is an exponentially weighted bytes-per-second figure.
type rate struct {
	at    time.Time
	bytes int64
	value float64
}

func (r *rate) update(now time.Time, bytes int64) float64 {
	if r.at.IsZero() {
		r.at, r.bytes = now, bytes
		return 0
	}
	seconds := now.Sub(r.at).Seconds()
	if seconds <= 0 {
		return r.value
	}
	current := float64(bytes-r.bytes) / seconds
	if r.value == 0 {
		r.value = current
	} else {
		r.value += smoothing * (current - r.value)
	}
	r.at, r.bytes = now, bytes
	return r.value
}

func newMeter(report func(job.Progress)) *meter {
	if report == nil {
		report = func(job.Progress) {}
	}
	return &meter{report: report, name: "preparing"}
}

// start reports every tick until stop, which reports once more and waits.
func (m *meter) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(meterTick)
		defer tick.Stop()
		for {
			m.tell(time.Now())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-done; m.tell(time.Now()) }
}

// phase begins a phase without disks of its own.
func (m *meter) phase(name string) {
	m.mu.Lock()
	m.name = name
	m.mu.Unlock()
}

// begin starts a phase over disks.
func (m *meter) begin(name string, disks []job.DiskProgress) []*disk.Counters {
	m.tell(time.Now()) // the end of the phase before
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved = m.transferred()
	m.name, m.disks, m.rate = name, nil, rate{}
	counters := make([]*disk.Counters, len(disks))
	for i, d := range disks {
		counters[i] = new(disk.Counters)
		m.disks = append(m.disks, &diskMeter{DiskProgress: d, n: counters[i]})
		if d.Done {
			counters[i].Offset.Store(d.BytesTotal)
		}
	}
	return counters
}

// update changes what is shown of a disk.
func (m *meter) update(i int, f func(d *job.DiskProgress)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.disks[i].DiskProgress)
}

// total is what was read from the source so far, in earlier runs too.
func (m *meter) total() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.transferred()
}

// transferred wants the lock. What is read back is not counted.
func (m *meter) transferred() int64 {
	n := m.moved
	if m.name == phaseCopy {
		for _, d := range m.disks {
			n += d.n.Read.Load()
		}
	}
	return n
}

func (m *meter) tell(now time.Time) {
	m.mu.Lock()
	p := job.Progress{Phase: m.name, ETA: -1, BytesTransfer: m.transferred()}
	for _, d := range m.disks {
		d.BytesRead = d.n.Offset.Load()
		d.Rate = d.rate.update(now, d.BytesRead)
		d.ETA = eta(d.BytesTotal-d.BytesRead, d.Rate)
		p.BytesRead += d.BytesRead
		p.BytesTotal += d.BytesTotal
		p.BytesWritten += d.n.Written.Load()
		p.BytesZero += d.n.Zero.Load()
		p.Disks = append(p.Disks, d.DiskProgress)
	}
	p.BytesTransfer = m.pace.bytes.Load()
	p.LimitedBy = m.pace.limitedBy(now)
	p.Rate = m.rate.update(now, p.BytesRead)
	p.ETA = eta(p.BytesTotal-p.BytesRead, p.Rate)
	if p.BytesTotal > 0 {
		p.Percent = 100 * float64(p.BytesRead) / float64(p.BytesTotal)
	}
	m.mu.Unlock()
	m.report(p)
}

// eta returns seconds, or -1 if unknown.
func eta(left int64, rate float64) float64 {
	switch {
	case left <= 0:
		return 0
	case rate <= 0:
		return -1
	default:
		return float64(left) / rate
	}
}
