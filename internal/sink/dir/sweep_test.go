package dir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

const (
	jobA = "0199aaaa-0000-7000-8000-000000000001"
	jobB = "0199aaaa-0000-7000-8000-000000000002"
	mark = "0123456789ab"
)

// TestSweepTakesWhatItMay: only areas that it can attribute, that nobody holds, and
// of which the caller says so; nothing else is touched or entered.
func TestSweepTakesWhatItMay(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	useless := []string{
		".vm." + jobA + "." + mark + ".partial",
		"deep/er/.a.b.c." + jobA + ".step-1." + mark + ".partial",
		"deep/._." + jobA + "." + mark + ".partial",
	}
	kept := []string{
		".vm." + jobB + "." + mark + ".partial",                  // of another job
		".vm." + jobA + ".partial",                               // no mark
		"vm." + jobA + "." + mark + ".partial",                   // not hidden: a user's
		".vm." + jobA + "." + mark + ".partial.bak",              // a copy
		".vm." + jobB + "." + jobA + "." + mark + ".partial",     // a job, or a step with the name of one
		".vm.short." + mark + ".partial",                         // no job
		"out/.vm." + jobA + "." + mark + ".partial",              // in a published output
		".snapshot/hourly/.vm." + jobA + "." + mark + ".partial", // hidden
	}
	for _, path := range append(slices.Clone(useless), kept...) {
		if err := os.MkdirAll(filepath.Join(root, path, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{"out/" + receipt.FileName: "{}", ".file." + jobA + "." + mark + ".partial": "a file"} {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := filepath.Join(outside, ".vm."+jobA+"."+mark+".partial")
	if err := errors.Join(os.Mkdir(there, 0o700), os.Symlink(outside, filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	held := stageIn(t, root, "held", jobA)
	defer held.Discard(t.Context())
	var asked []string
	removed, err := Sweep(t.Context(), root, func(s Staged) (bool, error) {
		asked = append(asked, s.Job+" "+s.Step+" "+s.Mark)
		return s.Job == jobA, nil
	})
	if err != nil || len(removed) != len(useless) || len(asked) != 2*len(useless)+2 || !slices.Contains(asked, jobA+" step-1 "+mark) {
		t.Errorf("%v %v, asked about %q", removed, err, asked)
	}
	for _, path := range useless {
		if _, err := os.Stat(filepath.Join(root, path)); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range append(kept, ".file."+jobA+"."+mark+".partial") {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Errorf("%s is gone", path)
		}
	}
	if _, err := os.Stat(there); err != nil {
		t.Error("a link led out of the root")
	}
	if !slices.ContainsFunc(list(t, root), func(n string) bool { return strings.HasPrefix(n, ".held.") }) {
		t.Error("a stage that is being written to is gone")
	}
}

// TestSweepInNobodysWay: while a sweep asks about an area that is needed, a job can go
// on in it.
func TestSweepInNobodysWay(t *testing.T) {
	root := t.TempDir()
	name := ".vm." + jobA + "." + mark + ".partial"
	if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := Sweep(t.Context(), root, func(Staged) (bool, error) {
		s := stageIn(t, root, "vm", jobA)
		defer s.Close()
		if marked, ok := s.(sink.Marked); !ok || marked.Mark() != mark {
			t.Error("the job had to begin anew")
		}
		return false, nil
	})
	if err != nil || len(removed) != 0 {
		t.Errorf("%v, %v", removed, err)
	}
}

// TestSweepStops: who cannot tell removes nothing.
func TestSweepStops(t *testing.T) {
	root := t.TempDir()
	for _, job := range []string{jobA, jobB} {
		if err := os.Mkdir(filepath.Join(root, ".vm."+job+"."+mark+".partial"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	broken, asked := errors.New("the database is away"), 0
	removed, err := Sweep(t.Context(), root, func(Staged) (bool, error) { asked++; return true, broken })
	if !errors.Is(err, broken) || len(removed) != 0 || asked != 1 || len(list(t, root)) != 2 {
		t.Errorf("%v, %v, asked %d times", removed, err, asked)
	}
	if removed, err := Sweep(t.Context(), filepath.Join(root, "none"), nil); err != nil || removed != nil {
		t.Errorf("a root that is not there: %v, %v", removed, err)
	}
}
