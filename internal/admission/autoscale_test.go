package admission_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypersdk/hypersdk/internal/admission"
)

func TestScale(t *testing.T) {
	t.Parallel()
	b := admission.Bounds{Min: 2, Max: 16}
	for name, c := range map[string]struct {
		load admission.Load
		want int
		why  string
	}{
		"nothing to do":            {admission.Load{Size: 2}, 2, admission.Steady},
		"below the minimum":        {admission.Load{Size: 0}, 2, admission.Steady},
		"above the maximum":        {admission.Load{Size: 40, Busy: 40}, 16, admission.Steady},
		"a job that just came":     {admission.Load{Size: 2, Busy: 2, Backlog: 1, OldestWait: 100 * time.Millisecond}, 2, admission.Steady},
		"one waits":                {admission.Load{Size: 2, Busy: 2, Backlog: 1, OldestWait: 2 * time.Second}, 3, admission.Growing},
		"many wait":                {admission.Load{Size: 2, Busy: 2, Backlog: 100, OldestWait: 2 * time.Second}, 4, admission.Growing},
		"many wait long":           {admission.Load{Size: 2, Busy: 2, Backlog: 10, OldestWait: time.Minute}, 12, admission.Growing},
		"many more than allowed":   {admission.Load{Size: 2, Busy: 2, Backlog: 100, OldestWait: time.Minute}, 16, admission.Growing},
		"at the maximum":           {admission.Load{Size: 16, Busy: 16, Backlog: 100, OldestWait: time.Minute}, 16, admission.AtMax},
		"a free worker may not":    {admission.Load{Size: 4, Busy: 1, Backlog: 100, OldestWait: time.Hour}, 4, admission.Blocked},
		"and is given up":          {admission.Load{Size: 4, Busy: 1, Backlog: 100, OldestWait: time.Hour, Idle: time.Hour}, 3, admission.Unneeded},
		"processors are busy":      {admission.Load{Size: 4, Busy: 4, Backlog: 9, OldestWait: time.Minute, Short: admission.CPU}, 4, admission.ShortCPU},
		"no memory":                {admission.Load{Size: 8, Busy: 8, Backlog: 9, OldestWait: time.Minute, Short: admission.Memory}, 7, admission.ShortMem},
		"no memory, nothing to do": {admission.Load{Size: 8, Busy: 0, Short: admission.Memory}, 2, admission.ShortMem},
		"no room":                  {admission.Load{Size: 8, Busy: 8, Short: admission.Disk}, 7, admission.ShortDisk},
		"idle for a moment":        {admission.Load{Size: 8, Busy: 3, Idle: 30 * time.Second}, 8, admission.Steady},
		"idle for long":            {admission.Load{Size: 8, Busy: 3, Idle: time.Minute}, 6, admission.Unneeded},
		"idle, no less than busy":  {admission.Load{Size: 8, Busy: 7, Idle: time.Minute}, 7, admission.Unneeded},
		"drained, and work comes":  {admission.Load{Size: 2, Busy: 6, Backlog: 3, OldestWait: 2 * time.Second}, 4, admission.Growing},
	} {
		if got := b.Scale(c.load); got.Size != c.want || got.Reason != c.why {
			t.Errorf("%s: %+v, want %d %s", name, got, c.want, c.why)
		}
	}
}

func drawBounds(t *rapid.T) admission.Bounds {
	b := admission.Bounds{Min: rapid.IntRange(1, 64).Draw(t, "min")}
	b.Max = b.Min + rapid.IntRange(0, 64).Draw(t, "range")
	return b
}

func drawLoad(t *rapid.T) admission.Load {
	second := func(name string) time.Duration {
		return time.Duration(rapid.IntRange(0, 7200).Draw(t, name)) * time.Second
	}
	return admission.Load{
		Size: rapid.IntRange(-3, 300).Draw(t, "size"), Busy: rapid.IntRange(0, 300).Draw(t, "busy"),
		Backlog: rapid.IntRange(0, 1000).Draw(t, "backlog"), OldestWait: second("wait"), Idle: second("idle"),
		Short: rapid.SampledFrom([]admission.Resource{admission.Ample, admission.Ample, admission.CPU, admission.Memory, admission.Disk}).Draw(t, "short"),
	}
}

func TestScaleStaysWithinBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, l := drawBounds(t), drawLoad(t)
		if got := b.Scale(l); got.Size < b.Min || got.Size > b.Max || got.Reason == "" || got != b.Scale(l) {
			t.Fatalf("%+v of %+v: %+v", b, l, got)
		}
	})
}

func TestScaleIsMonotoneInTheBacklog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, l := drawBounds(t), drawLoad(t)
		more := l
		more.Backlog += rapid.IntRange(1, 1000).Draw(t, "more")
		if few, many := b.Scale(l), b.Scale(more); many.Size < few.Size {
			t.Fatalf("%+v of %+v: %+v, with a longer backlog %+v", b, l, few, many)
		}
	})
}

// A constant demand leads to a constant size, which serves it, whatever the size
// was before; on the way there the size never turns back.
func TestScaleDoesNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := drawBounds(t)
		demand := rapid.IntRange(0, 200).Draw(t, "demand")
		size := b.Clamp(rapid.IntRange(0, 200).Draw(t, "size"))
		var idle, wait time.Duration
		direction := 0
		for range 4000 {
			busy := min(size, demand)
			got := b.Scale(admission.Load{Size: size, Busy: busy, Backlog: demand - busy, OldestWait: wait, Idle: idle})
			switch {
			case got.Size > size && direction < 0 || got.Size < size && direction > 0:
				t.Fatalf("demand %d: from %d to %d after going the other way", demand, size, got.Size)
			case got.Size > size:
				direction = 1
			case got.Size < size:
				direction = -1
			}
			if got.Size != size {
				idle = 0
			}
			size = got.Size
			wait, idle = wait+time.Second, idle+time.Second
			if demand <= size {
				wait = 0
			}
			if busy >= size {
				idle = 0
			}
		}
		if want := b.Clamp(demand); size != want {
			t.Fatalf("demand %d within %+v ends at %d, want %d", demand, b, size, want)
		}
	})
}
