package workflow

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hypersdk/hypersdk/internal/job"
)

// board makes one progress of those of the steps that run.
type board struct {
	report func(job.Progress)
	mu     sync.Mutex
	steps  map[int]job.Progress // by position, the phase with the step's id
}

func newBoard(report func(job.Progress)) *board {
	if report == nil {
		report = func(job.Progress) {}
	}
	return &board{report: report, steps: map[int]job.Progress{}}
}

// set takes over the newest progress of a step.
func (b *board) set(i int, id string, p job.Progress) {
	p.Phase = id + ": " + p.Phase
	b.mu.Lock()
	b.steps[i] = p
	sum := b.sum()
	b.mu.Unlock()
	b.report(sum)
}

// remove forgets a step that has ended.
func (b *board) remove(i int) {
	b.mu.Lock()
	delete(b.steps, i)
	b.mu.Unlock()
}

func (b *board) sum() job.Progress {
	if len(b.steps) == 1 {
		for _, p := range b.steps {
			return p
		}
	}
	var sum job.Progress
	var phases, limits []string
	for _, i := range slices.Sorted(maps.Keys(b.steps)) {
		p := b.steps[i]
		phases = append(phases, p.Phase)
		sum.BytesRead += p.BytesRead
		sum.BytesTotal += p.BytesTotal
		sum.BytesWritten += p.BytesWritten
		sum.BytesZero += p.BytesZero
		sum.BytesTransfer += p.BytesTransfer
		sum.Rate += p.Rate
		sum.ETA = max(sum.ETA, p.ETA)
		sum.Disks = append(sum.Disks, p.Disks...)
		if p.LimitedBy != "" && !slices.Contains(limits, p.LimitedBy) {
			limits = append(limits, p.LimitedBy)
		}
	}
	sum.LimitedBy = strings.Join(limits, ", ")
	sum.Phase = strings.Join(phases, ", ")
	if sum.BytesTotal > 0 {
		sum.Percent = 100 * float64(sum.BytesRead) / float64(sum.BytesTotal)
	}
	return sum
}
