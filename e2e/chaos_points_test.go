//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// points are the system calls by which a state becomes durable or visible. The
// daemon is killed on entering one of them, so each is a point between two
// states. strace counts the calls of each thread by itself: the n-th call is
// that of the thread that gets there first. (Not with --seccomp-bpf: that
// miscounts.)
var points = []struct {
	call  string
	short []int // which calls the short form takes
	step  int   // the long form takes every step-th until the job gets through
}{
	{"fsync", []int{2, 5, 9, 14}, 1},
	{"fdatasync", []int{1, 2}, 1},
	{"pwrite64", []int{4, 15, 30}, 3},
	{"renameat2", []int{1}, 1},
	{"unlinkat", []int{1, 2}, 1},
	{"mkdirat", []int{1, 2}, 1},
	{"ftruncate", []int{1}, 1},
}

// TestChaosPoints kills the daemon at exact points of an export: on the n-th
// system call of each kind that one of its threads makes. Started again, it
// completes the job.
func TestChaosPoints(t *testing.T) {
	h := newHouse(t, vcsim.Options{LeaseTimeout: leaseTimeout, VMs: []vcsim.VM{
		{Path: "hot", On: true, Disks: []vcsim.Disk{dense(4*mib, 1), holed(8*mib, 2)}},
	}})
	d := h.start()
	first := h.wait(d, h.submit(d, client.Spec{VMPath: "hot", OutputPath: "undisturbed"}))
	want := h.proven(first)
	d.kill()
	ended := []client.Job{first}
	for _, p := range points {
		hits := 0
		for n, i := 0, 0; ; i++ {
			if n += p.step; !long() {
				if i == len(p.short) {
					break
				}
				n = p.short[i]
			}
			j, hit := h.killAt(p.call, n, i)
			if got := h.proven(j); !slices.Equal(got, want) {
				t.Errorf("killed at %s %d: roots %v, undisturbed %v", p.call, n, got, want)
			}
			ended = append(ended, j)
			if hit {
				hits++
			} else if long() {
				break
			}
		}
		t.Logf("%s: killed at %d points", p.call, hits)
		if hits == 0 {
			t.Errorf("%s was never hit", p.call)
		}
	}
	h.tidy(ended...)
}

// killAt runs a job in a daemon that dies on the n-th call, and then in one that
// lives. hit tells whether the first one died before the job was over.
func (h *house) killAt(call string, n, turn int) (j client.Job, hit bool) {
	h.Helper()
	spec := client.Spec{
		VMPath: "hot", OutputPath: fmt.Sprintf("%s-%d", call, n),
		Format: []string{"ova", "qcow2", "raw", "vmdk"}[turn%4], Transport: []string{"range", "nfc"}[turn/2%2],
	}
	d := h.launch("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n))
	id := ""
	select {
	case d.url = <-d.ready:
		d.connect()
		id, hit = h.until(d, spec)
	case <-d.exited: // while it started
		hit = true
	}
	d.kill()
	d = h.start()
	defer d.kill()
	page, err := d.Query(h.Context(), client.Query{Limit: 1000})
	if err != nil {
		h.Fatal(err)
	}
	for _, known := range page.Jobs { // the answer to the submit may be lost
		if filepath.Base(known.Spec.OutputPath) == spec.OutputPath {
			if id != "" && known.ID != id {
				h.Errorf("job %s was made twice: as %s too", id, known.ID)
			}
			id = known.ID
		}
	}
	if id == "" {
		id = h.submit(d, spec)
	}
	return h.wait(d, id), hit
}

// until submits a job and follows it to its end, or to that of the daemon.
func (h *house) until(d *daemon, spec client.Spec) (id string, died bool) {
	h.Helper()
	ids, over := make(chan string, 1), make(chan error, 1)
	go func() {
		r, err := d.Submit(h.Context(), spec)
		if err != nil {
			over <- err
			return
		}
		ids <- r.JobIDs[0]
		for _, err = range d.Events(h.Context(), r.JobIDs[0], 0) {
			if err != nil {
				break
			}
		}
		over <- err
	}()
	select {
	case err := <-over:
		died = err != nil
	case <-d.exited:
		died = true
	}
	select {
	case id = <-ids:
	default: // the answer was lost
	}
	return id, died
}
