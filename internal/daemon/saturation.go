package daemon

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/admission"
)

// A resource is short from one mark on and until another, so that a value on the
// border does not change the answer at each look.
type levels struct{ short, ample float64 }

var (
	cpuMarks    = levels{short: 0.95, ample: 0.85} // busy share of all processors
	memoryMarks = levels{short: 0.92, ample: 0.85} // used share of the memory
	diskMarks   = levels{short: 0.98, ample: 0.96} // used share of an output's file system
)

// smooth is the weight of the newest look at the processors: about the last five
// count.
const smooth = 0.2

// saturation looks at what the machine has left.
type saturation struct {
	looking chan struct{} // holds a token while a look is at work
	last    atomic.Value  // admission.Resource: what the last one found

	roots []string
	read  func(file string) ([]byte, error)

	idle, all float64 // of the processors, at the last look
	cpu       float64 // smoothed
	is        map[admission.Resource]bool
}

func newSaturation(roots []string) *saturation {
	return &saturation{
		looking: make(chan struct{}, 1), roots: roots, read: os.ReadFile, is: make(map[admission.Resource]bool),
	}
}

// short returns what the last look found and begins another. It never waits: a
// file server that is dead answers no statfs, and costs one goroutine.
func (s *saturation) short() admission.Resource {
	select {
	case s.looking <- struct{}{}:
		go func() {
			defer func() { <-s.looking }()
			s.last.Store(s.look())
		}()
	default:
	}
	found, _ := s.last.Load().(admission.Resource)
	return found
}

// look names what the machine is short of; what does most harm comes first. What
// cannot be read counts as ample.
func (s *saturation) look() admission.Resource {
	s.judge(admission.Disk, diskMarks, s.disk())
	s.judge(admission.Memory, memoryMarks, s.memory())
	s.judge(admission.CPU, cpuMarks, s.processors())
	for _, r := range []admission.Resource{admission.Disk, admission.Memory, admission.CPU} {
		if s.is[r] {
			return r
		}
	}
	return admission.Ample
}

func (s *saturation) judge(r admission.Resource, m levels, used float64) {
	s.is[r] = used >= m.short || s.is[r] && used > m.ample
}

// processors returns the busy share since the last look, smoothed.
func (s *saturation) processors() float64 {
	text, err := s.read("/proc/stat")
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	fields := strings.Fields(string(line))
	if err != nil || len(fields) < 6 || fields[0] != "cpu" {
		return 0
	}
	var idle, all float64
	for i, f := range fields[1:] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0
		}
		if i < 8 { // guest time is within user time
			all += n
		}
		if i == 3 || i == 4 { // idle, waiting for the disk
			idle += n
		}
	}
	if d := all - s.all; s.all > 0 && d > 0 {
		s.cpu += smooth * (1 - (idle-s.idle)/d - s.cpu)
	}
	s.idle, s.all = idle, all
	return s.cpu
}

// memory returns the used share of the machine's memory, or of the control
// group's if that is nearer to its limit.
func (s *saturation) memory() float64 {
	used := 0.0
	text, err := s.read("/proc/meminfo")
	if total, available := field(text, "MemTotal:"), field(text, "MemAvailable:"); err == nil && total > 0 && available > 0 {
		used = 1 - available/total
	}
	limit, lerr := s.read("/sys/fs/cgroup/memory.max")
	stat, serr := s.read("/sys/fs/cgroup/memory.stat")
	most, err := strconv.ParseFloat(string(bytes.TrimSpace(limit)), 64) // "max" is none
	if lerr != nil || serr != nil || err != nil || most <= 0 {
		return used
	}
	return max(used, (field(stat, "anon")+field(stat, "unevictable"))/most) // caches can be given back
}

// field returns the number behind a name at the start of a line, 0 without one.
func field(text []byte, name string) float64 {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) > 1 && f[0] == name {
			n, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// disk returns the used share of the fullest file system that outputs go to.
func (s *saturation) disk() float64 {
	worst := 0.0
	for _, root := range s.roots {
		var fs unix.Statfs_t
		if err := unix.Statfs(root, &fs); err != nil || fs.Blocks == 0 {
			continue // a root that no job has used yet
		}
		worst = max(worst, 1-float64(fs.Bavail)/float64(fs.Blocks))
	}
	return worst
}
