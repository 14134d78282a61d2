package upload

import (
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// meter adds up what went.
type meter struct {
	report func(job.Progress)
	mu     sync.Mutex
	began  time.Time
	before int64 // of earlier runs
	p      job.Progress
}

func newMeter(report func(job.Progress), list []job.Artifact, done map[string]job.Artifact) *meter {
	m := &meter{report: report, began: time.Now(), p: job.Progress{Phase: "uploading", ETA: -1}}
	for _, a := range list {
		m.p.BytesTotal += a.Bytes
		if _, ok := done[a.Name]; ok {
			m.before += a.Bytes
		}
	}
	m.p.BytesRead = m.before
	m.add(0)
	return m
}

// add counts n more bytes.
func (m *meter) add(n int64) {
	m.mu.Lock()
	m.p.BytesRead = min(m.p.BytesTotal, m.p.BytesRead+n)
	m.p.BytesWritten += n
	if took := time.Since(m.began).Seconds(); took > 0 {
		m.p.Rate = float64(m.p.BytesRead-m.before) / took
	}
	if m.p.Rate > 0 {
		m.p.ETA = float64(m.p.BytesTotal-m.p.BytesRead) / m.p.Rate
	}
	if m.p.BytesTotal > 0 {
		m.p.Percent = 100 * float64(m.p.BytesRead) / float64(m.p.BytesTotal)
	}
	p := m.p
	m.mu.Unlock()
	if m.report != nil {
		m.report(p)
	}
}
