package console

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Bar is the progress of one disk of one job.
type Bar struct {
	Name  string
	Done  int64
	Total int64
	Rate  float64 // bytes per second
	ETA   float64 // seconds, -1: unknown
}

// Progress shows jobs: bars on a terminal, a line every ten seconds in a pipe.
// Its methods may be called from several goroutines.
type Progress interface {
	// Update shows the state of a job.
	Update(job, phase string, bars []Bar)
	// Line writes a line of text without breaking the bars.
	Line(text string)
	// Close ends the display.
	Close()
}

// pipeEvery is how often a job gets a line in a pipe.
const pipeEvery = 10 * time.Second

// NewProgress makes the display that fits w; quiet shows lines only.
func NewProgress(w io.Writer, quiet bool) Progress {
	if f, ok := w.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return newBars(w)
	}
	return &lines{w: w, quiet: quiet, last: map[string]time.Time{}, phase: map[string]string{}}
}

// lines is the display in a pipe.
type lines struct {
	mu    sync.Mutex
	w     io.Writer
	quiet bool
	last  map[string]time.Time
	phase map[string]string
}

func (l *lines) Update(job, phase string, bars []Bar) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quiet || l.phase[job] == phase && time.Since(l.last[job]) < pipeEvery {
		return
	}
	l.last[job], l.phase[job] = time.Now(), phase
	var done, total int64
	rate, eta := 0.0, 0.0
	for _, b := range bars {
		done, total, rate = done+b.Done, total+b.Total, rate+b.Rate
		eta = max(eta, b.ETA)
	}
	if total == 0 {
		_, _ = fmt.Fprintf(l.w, "%s: %s\n", Printable(job), phase)
		return
	}
	_, _ = fmt.Fprintf(l.w, "%s: %s %.0f%% (%s of %s, %s, %s left)\n",
		Printable(job), phase, 100*float64(done)/float64(total), Bytes(done), Bytes(total), Rate(rate), ETA(eta))
}

func (l *lines) Line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintln(l.w, text)
}

func (l *lines) Close() {}

// bars is the display on a terminal.
type bars struct {
	p     *mpb.Progress
	mu    sync.Mutex
	shown map[string]*bar // by job and disk
}

type bar struct {
	*mpb.Bar
	mu    sync.Mutex
	phase string
	state Bar
}

func newBars(w io.Writer) *bars {
	return &bars{p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh()), shown: map[string]*bar{}}
}

func (b *bars) Update(job, phase string, state []Bar) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range state {
		key := job + "\x00" + s.Name
		one := b.shown[key]
		if one == nil {
			one = b.add(job, s)
			b.shown[key] = one
		}
		one.mu.Lock()
		one.phase, one.state = phase, s
		one.mu.Unlock()
		one.SetTotal(s.Total, false)
		one.SetCurrent(s.Done)
	}
}

func (b *bars) add(job string, s Bar) *bar {
	one := &bar{state: s}
	label := Printable(job + " " + s.Name)
	one.Bar = b.p.AddBar(s.Total,
		mpb.PrependDecorators(decor.Name(label, decor.WC{C: decor.DindentRight | decor.DextraSpace}),
			decor.Any(func(decor.Statistics) string {
				return one.text(func() string { return fmt.Sprintf("%-10s", one.phase) })
			})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return one.text(func() string {
				return fmt.Sprintf("%s / %s  %s  %s", Bytes(one.state.Done), Bytes(one.state.Total), Rate(one.state.Rate), ETA(one.state.ETA))
			})
		})),
	)
	return one
}

func (b *bar) text(f func() string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return f()
}

func (b *bars) Line(text string) { _, _ = b.p.Write([]byte(text + "\n")) }

func (b *bars) Close() {
	b.mu.Lock()
	for _, one := range b.shown {
		if !one.Completed() {
			one.Abort(false)
		}
	}
	b.mu.Unlock()
	b.p.Wait()
}
