package auditsink_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// fileLine is what an auditor needs of a line.
type fileLine struct {
	Pos int64 `json:"pos"`
}

// placesIn reads the places in files, in the order of the names.
func placesIn(t *testing.T, pattern string) (places []int64, files int) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	must(t, err)
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a+"~", b+"~") }) // the one without ending comes last
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			var l fileLine
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%s: %v: %q", name, err, line)
			}
			places = append(places, l.Pos)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	return places, len(names)
}

func upTo(n int64) (all []int64) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// TestFileHasTheRoadmapsLines: a line for each entry, whatever it holds, with the
// hash by which it is compared with the log.
func TestFileHasTheRoadmapsLines(t *testing.T) {
	t.Parallel()
	all, _ := lines(t, 4)
	all[3].Leaf = "" // removed by retention
	path := filepath.Join(t.TempDir(), "new", "audit.jsonl")
	f := auditsink.NewFile(auditsink.FileOptions{Path: path})
	must(t, f.Deliver(t.Context(), batch(all)))
	must(t, f.Close())
	text, err := os.ReadFile(path)
	must(t, err)
	got := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(got) != 3 {
		t.Fatalf("%s", text)
	}
	var first map[string]any
	must(t, json.Unmarshal(got[0], &first))
	want := map[string]any{
		"pos": 1.0, "id": 1.0, "timestamp": "2026-09-21T14:13:20Z", "event": "access.denied", "tenant": "default",
		"actor":    map[string]any{"type": "user", "id": strings.ToValidUTF8(hostile, "\ufffd"), "ip": "192.0.2.7"},
		"resource": map[string]any{"type": "operation", "id": "submit_jobs"}, "action": "access", "result": "denied",
		"request_id": "r1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "metadata": map[string]any{"reason": "denied", "code": "HX-AUTH-001", "count": "1"},
		"hash": all[0].Hash.String(),
	}
	if fmt.Sprint(first) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", first, want)
	}
}

// TestFileAfterACrash: a batch that is made again is in the file once, and a torn line
// is gone; a log that is another one is appended.
func TestFileAfterACrash(t *testing.T) {
	t.Parallel()
	all, _ := lines(t, 9)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for torn := range 3 {
		f := auditsink.NewFile(auditsink.FileOptions{Path: path, NoSync: true})
		must(t, f.Deliver(t.Context(), batch(all[:3*torn+3])))
		must(t, f.Deliver(t.Context(), batch(all[:3*torn+3])))
		must(t, f.Close())
		text, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, append(text, text[:100+torn]...), 0o600))
	}
	f := auditsink.NewFile(auditsink.FileOptions{Path: path})
	must(t, f.Deliver(t.Context(), batch(all)))
	if got, _ := placesIn(t, path); !slices.Equal(got, upTo(9)) {
		t.Errorf("%v", got)
	}
	other, _ := lines(t, 9)
	other[8].Hash = other[0].Hash
	must(t, f.Deliver(t.Context(), batch(other)))
	must(t, f.Close())
	if got, _ := placesIn(t, path); len(got) != 18 {
		t.Errorf("of another log there is %v", got)
	}
}

// TestFileRotates: by size and by time, and no more full files than are wanted; what
// somebody moves or empties is let go.
func TestFileRotates(t *testing.T) {
	t.Parallel()
	all, _ := lines(t, 60)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	put(t, path+".old", "")                      // somebody else's
	put(t, path+".99999999999999999999x.md", "") // of this form, and the newest
	f := auditsink.NewFile(auditsink.FileOptions{Path: path, MaxSize: 2000, MaxAge: time.Hour, MaxFiles: 3})
	defer f.Close()
	for i := 0; i < 60; i += 10 {
		must(t, f.Deliver(t.Context(), batch(all[i:i+10])))
	}
	must(t, os.Remove(path+".99999999999999999999x.md"))
	must(t, os.Remove(path+".old"))
	got, files := placesIn(t, path+"*")
	if n := len(got); files != 4 || n < 8 || !slices.Equal(got, upTo(60)[60-n:]) {
		t.Errorf("%d files with %v", files, got)
	}
	for _, name := range []string{path} {
		if info, err := os.Stat(name); err != nil || info.Size() > 2000 {
			t.Errorf("%v %v", info.Size(), err)
		}
	}

	size := func() int64 {
		info, err := os.Stat(path)
		must(t, err)
		return info.Size()
	}
	before := size()
	must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)))
	must(t, f.Deliver(t.Context(), batch(all[:1])))
	if size() >= before || size() == 0 {
		t.Errorf("the next hour did not begin a new file: %d bytes became %d", before, size())
	}
	must(t, os.Rename(path, path+".moved"))
	must(t, f.Deliver(t.Context(), batch(all[1:2])))
	must(t, os.Truncate(path, 0))
	must(t, f.Deliver(t.Context(), batch(all[2:3])))
	if got, _ := placesIn(t, path); !slices.Equal(got, []int64{3}) {
		t.Errorf("%v", got)
	}
}

// TestFileIsAFile: neither a link nor a directory is written through, and the error
// tells what to do.
func TestFileIsAFile(t *testing.T) {
	t.Parallel()
	all, _ := lines(t, 1)
	dir := t.TempDir()
	target := put(t, filepath.Join(dir, "target"), "")
	must(t, os.Symlink(target, filepath.Join(dir, "link")))
	must(t, os.Symlink("/dev/full", filepath.Join(dir, "full")))
	for _, path := range []string{filepath.Join(dir, "link"), dir, filepath.Join(target, "below.jsonl"), "/dev/full", filepath.Join(dir, "full")} {
		f := auditsink.NewFile(auditsink.FileOptions{Path: path})
		if err := f.Deliver(t.Context(), batch(all)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if info, err := os.Stat(target); err != nil || info.Size() != 0 {
		t.Error(info, err)
	}
	if _, ok := (&audit.Line{Leaf: "{"}).Entry(); ok {
		t.Error("half a leaf is an entry")
	}
}
