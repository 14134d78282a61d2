//go:build e2e

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// roots are the Merkle roots of a VM's disks.
type roots []receipt.Root

// proven asserts that a job is completed and that what it stored is, on reading
// it back, what its receipt says. It returns the roots.
func (h *house) proven(j client.Job) roots {
	h.Helper()
	if j.Status != client.Completed || len(j.Artifacts) == 0 {
		h.Fatalf("job %s of %s (%s, %s) ended %s with %d artifacts: %+v",
			j.ID, j.Spec.VMPath, j.Spec.Format, j.Spec.Transport, j.Status, len(j.Artifacts), j.Error)
	}
	rep, err := artifact.Verify(h.Context(), outputOf(j), nil, nil)
	if err != nil {
		h.Fatalf("job %s: %v", j.ID, err)
	}
	if !rep.OK() || rep.Receipt.JobID != j.ID {
		h.Fatalf("job %s is not what its receipt says: %+v", j.ID, rep)
	}
	var all roots
	for _, d := range rep.Receipt.Disks {
		all = append(all, d.Root)
	}
	return all
}

// outputOf is the directory that a job published.
func outputOf(j client.Job) string { return filepath.Dir(j.Artifacts[0].Path) }

// discard removes a checked output: together they would fill the disk.
func (h *house) discard(j client.Job) {
	h.Helper()
	if err := os.RemoveAll(outputOf(j)); err != nil {
		h.Fatal(err)
	}
}

// tidy asserts that nothing is left but what these jobs published: no snapshot
// and no lease on vCenter, no staging directory, no stray file.
func (h *house) tidy(jobs ...client.Job) {
	h.Helper()
	// A lease belongs to the session that opened it: if a kill took that, nobody
	// can end the lease any more, and vCenter does when nobody renews it.
	eventually(h.T, "vCenter to have no lease left", func() bool {
		return !slices.ContainsFunc(h.sim.Leftovers(), func(s string) bool { return strings.HasPrefix(s, "lease") })
	})
	if left := h.sim.Leftovers(); len(left) > 0 {
		h.Errorf("left on vCenter: %v", left)
	}
	for path := range h.strays(jobs...) {
		h.Errorf("left in the output: %s", path)
	}
}

// strays yields what is in the outputs and belongs to none of these jobs.
func (h *house) strays(jobs ...client.Job) func(yield func(string) bool) {
	h.Helper()
	known := map[string]bool{}
	for _, j := range jobs {
		for _, a := range j.Artifacts {
			known[a.Path] = true
			known[filepath.Join(filepath.Dir(a.Path), receipt.FileName)] = true
		}
	}
	return func(yield func(string) bool) {
		for _, root := range slices.Concat([]string{h.output}, h.roots) {
			err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
				stray := err == nil && (strings.HasSuffix(path, ".partial") || !e.IsDir() && !known[path])
				if stray && !yield(path) {
					return fs.SkipAll
				}
				return nil // a root that is not there holds nothing
			})
			if err != nil {
				h.Error(err)
			}
		}
	}
}
