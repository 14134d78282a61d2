package daemon

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hypersdk/hypersdk/internal/admission"
)

func TestSaturation(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	s := newSaturation(nil)
	s.read = func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, errors.New("not there")
		}
		return []byte(text), nil
	}
	want := func(r admission.Resource, when string) {
		t.Helper()
		if got := s.look(); got != r {
			t.Fatalf("%s: %q, want %q", when, got, r)
		}
	}
	want(admission.Ample, "nothing can be read")

	busy, idle := 0, 0
	spend := func(b, i int) {
		busy, idle = busy+b, idle+i
		files["/proc/stat"] = fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 %d 0\ncpu0 1 2 3\n", busy, idle, busy)
	}
	spend(100, 100)
	want(admission.Ample, "the first look")
	spend(100, 0)
	want(admission.Ample, "one busy second")
	for range 30 {
		spend(100, 0)
		s.look()
	}
	want(admission.CPU, "busy for long")
	spend(60, 40)
	want(admission.CPU, "a short pause")
	for range 30 {
		spend(50, 50)
		s.look()
	}
	want(admission.Ample, "half idle")

	files["/proc/meminfo"] = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 70 kB\n"
	want(admission.Memory, "7 % available")
	files["/proc/meminfo"] = "MemTotal: 1000 kB\nMemAvailable: 120 kB\n"
	want(admission.Memory, "12 % is not enough to go on")
	files["/proc/meminfo"] = "MemTotal: 1000 kB\nMemAvailable: 500 kB\n"
	want(admission.Ample, "half is free")
	files["/sys/fs/cgroup/memory.max"] = "max\n"
	files["/sys/fs/cgroup/memory.stat"] = "anon 990\nfile 5000\n"
	want(admission.Ample, "no limit")
	files["/sys/fs/cgroup/memory.max"] = "1000\n"
	want(admission.Memory, "near the limit of the control group")
	files["/sys/fs/cgroup/memory.stat"] = "anon 500\nfile 400\n"
	want(admission.Ample, "caches do not count")
}

func TestSaturationOfThisMachine(t *testing.T) {
	t.Parallel()
	s := newSaturation([]string{t.TempDir(), "/nonexistent"})
	s.look()
	if s.all <= 0 || s.memory() <= 0 || s.memory() >= 1 || s.disk() <= 0 || s.disk() > 1 {
		t.Errorf("%v ticks, %v of the memory, %v of the disk", s.all, s.memory(), s.disk())
	}
}
