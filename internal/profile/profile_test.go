package profile

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

const mediaYAML = "application/yaml"

// TestRoadmap: the roadmap's example loads as it stands.
func TestRoadmap(t *testing.T) {
	t.Parallel()
	set, err := NewDirs("../../examples/profiles").Load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := set.Resolve("prod-backup")
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := job.Spec{
		Format: "ova", Compress: &yes, CompressionLvl: 6, BandwidthLimit: "50MB",
		EnableCheckpoints: &yes, VerifyChecksum: &yes, GenerateManifest: &yes,
	}
	if !reflect.DeepEqual(r.Defaults, want) || r.Profile.Name != "Production Backup" || r.Profile.Description != "Standard production VM backup" {
		t.Errorf("%+v", r)
	}
	merged, err := r.Apply(job.Spec{VMPath: "/DC/vm/web-01", Verify: "none"})
	if err != nil || merged.Profile != "prod-backup" || merged.ProfileDigest != r.Digest || merged.VerifyChecksum != nil {
		t.Errorf("%+v, %v", merged, err)
	}
}

// TestHostile: each is refused for what it is, with its line where it has one.
func TestHostile(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ndefaults: *b\n"
	for _, c := range []struct {
		name, id, text string
		kind           fault.Kind
		says           string
	}{
		{"unknown key", "p", "nam: x\n", fault.Invalid, "line 1: nam: unknown key; did you mean name?"},
		{"unknown default", "p", "name: x\ndefaults:\n  formatt: ova\n", fault.Invalid, "line 3: defaults.formatt: unknown key; did you mean format?"},
		{"what is the job's", "p", "defaults:\n  vm_path: /x\n", fault.Invalid, "line 2: defaults.vm_path: says which VM"},
		{"power", "p", "defaults:\n  power_off: true\n", fault.Invalid, "must be said in the job itself"},
		{"anchor", "p", "name: &a x\n", fault.Invalid, "line 1: anchors and aliases are not allowed"},
		{"alias bomb", "p", bomb, fault.Invalid, "line 1: anchors and aliases"},
		{"tag", "p", "name: !!binary aGk=\n", fault.Invalid, "line 1: tags are not allowed"},
		{"merge key", "p", "defaults:\n  <<: {format: ova}\n", fault.Invalid, "line 2"},
		{"twice", "p", "name: a\nname: b\n", fault.Invalid, "line 2: the key \"name\" is there twice"},
		{"twice below", "p", "defaults:\n  format: ova\n  format: raw\n", fault.Invalid, "line 3"},
		{"two documents", "p", "name: a\n---\nname: b\n", fault.Invalid, "no YAML"},
		{"a list", "p", "- a\n", fault.Invalid, "must be a mapping, not a list"},
		{"empty", "p", "", fault.Invalid, "no documents"},
		{"defaults is a list", "p", "defaults: [a]\n", fault.Invalid, "line 1: defaults: must be a mapping, not a list"},
		{"number for a text", "p", "name: 7\n", fault.Invalid, "put it in quotes"},
		{"text for a switch", "p", "defaults: {compress: \"yes\"}\n", fault.Invalid, "must be a truth value"},
		{"fraction", "p", "defaults: {compression_level: 1.5}\n", fault.Invalid, "whole number"},
		{"deep", "p", "defaults: " + strings.Repeat("{a: ", 50) + strings.Repeat("}", 50), fault.Invalid, "no YAML"},
		{"10 MB", "p", "name: " + strings.Repeat("x", 10<<20), fault.Invalid, "16384 are allowed"},
		{"no UTF-8", "p", "name: \xff\n", fault.Invalid, "not UTF-8"},
		{"NUL", "p", "name: \"a\\0b\"\n", fault.Unprocessable, "name holds a control character"},
		{"raw NUL", "p", "name: a\x00b\n", fault.Invalid, "no YAML"},
		{"long name", "p", "name: " + strings.Repeat("x", 300), fault.Unprocessable, "longer than 255"},
		{"traversal in the id", "../etc/passwd", "name: a\n", fault.Invalid, "is no id of a profile"},
		{"NUL in the id", "a\x00b", "name: a\n", fault.Invalid, "is no id of a profile"},
		{"no id", "", "name: a\n", fault.Invalid, "is no id of a profile"},
		{"hidden", ".a", "name: a\n", fault.Invalid, "is no id of a profile"},
		{"long id", strings.Repeat("a", 64), "name: a\n", fault.Invalid, "is no id of a profile"},
		{"traversal in extends", "p", "extends: ../other\n", fault.Unprocessable, "extends"},
		{"extends a list", "p", "extends: [a, b]\n", fault.Invalid, "line 1: extends: must be a text"},
		{"negative rate", "p", "defaults: {bandwidth_limit: -5}\n", fault.Unprocessable, "\"-5\" is no rate"},
		{"overflowing rate", "p", "defaults: {bandwidth_limit: 99999999999999999999GB}\n", fault.Unprocessable, "more than a petabyte"},
		{"slow rate", "p", "defaults: {bandwidth_limit: 10}\n", fault.Unprocessable, "less than 1KB"},
		{"bits", "p", "defaults: {bandwidth_limit: 50Mbit}\n", fault.Unprocessable, "no rate in bytes"},
		{"window", "p", "defaults: {bandwidth_windows: [\"at night = 1MB\"]}\n", fault.Unprocessable, "no bandwidth window"},
		{"format", "p", "defaults: {format: floppy}\n", fault.Unprocessable, "not one of ova"},
		{"level", "p", "defaults: {compression_level: 23}\n", fault.Unprocessable, "between 0 and 22"},
		{"contradiction", "p", "defaults: {verify: none, verify_checksum: true}\n", fault.Unprocessable, "contradicts verify none"},
		{"endless retries", "p", "defaults: {max_attempts: 999999999}\n", fault.Unprocessable, "between 1 and 100"},
	} {
		_, err := Parse(c.id, []byte(c.text), mediaYAML)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s: %.300v", c.name, fault.KindOf(err), err)
		}
	}
}

// made makes a set of profiles from their texts.
func made(t *testing.T, texts map[string]string) Set {
	t.Helper()
	set := Set{}
	for id, text := range texts {
		p, err := Parse(id, []byte(text), mediaYAML)
		if err != nil {
			t.Fatal(err)
		}
		set[id] = p
	}
	return set
}

func TestInheritance(t *testing.T) {
	t.Parallel()
	set := made(t, map[string]string{
		"base":  "defaults: {format: qcow2, compression: zstd, labels: {team: a, tier: base}, verify: none, bandwidth_limit: 5000000}\n",
		"mid":   "extends: base\ndefaults: {compression_level: 3, labels: {tier: mid}, verify_checksum: true}\n",
		"leaf":  "extends: mid\ndefaults: {format: raw, bandwidth_limit: unlimited}\n",
		"self":  "extends: self\n",
		"a":     "extends: b\n",
		"b":     "extends: a\n",
		"lost":  "extends: bas\n",
		"clash": "extends: base\ndefaults: {transport: nfc}\n",
	})
	r, err := set.Resolve("leaf")
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := job.Spec{
		Format: "raw", Compression: "zstd", CompressionLvl: 3, Labels: map[string]string{"team": "a", "tier": "mid"},
		VerifyChecksum: &yes, BandwidthLimit: "unlimited",
	}
	if !reflect.DeepEqual(r.Defaults, want) || !reflect.DeepEqual(r.Chain, []string{"leaf", "mid", "base"}) {
		t.Errorf("%v: %+v", r.Chain, r.Defaults)
	}
	merged, err := r.Apply(job.Spec{VMPath: "/vm", Labels: map[string]string{"tier": "job"}, BandwidthLimit: "1MB"})
	if err != nil || merged.BandwidthLimit != "1MB" || merged.Labels["tier"] != "job" || merged.Labels["team"] != "a" {
		t.Errorf("%+v, %v", merged, err)
	}
	if set["mid"].Defaults.Labels["tier"] != "mid" {
		t.Error("merging has changed a profile")
	}
	if _, err := r.Apply(job.Spec{ProfileDigest: "sha256:00"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("another digest: %v", err)
	}
	for i := range maxChain + 1 {
		p, _ := Parse("d"+strconv.Itoa(i), []byte("extends: d"+strconv.Itoa(i+1)+"\n"), mediaYAML)
		set[p.ID] = p
	}
	set["d9"] = Profile{ID: "d9"}
	set["broken"] = Profile{ID: "broken", Problem: "line 3"}
	for id, says := range map[string]string{
		"self": "self → self", "a": "a → b → a", "lost": "which is not there → did you mean base?", "d0": "more than 7 others",
		"leef": "there is no profile \"leef\" → did you mean leaf?", "nowhere": "there are: a, b, base", "broken": "line 3", "../x": "there is no profile",
	} {
		if _, err := set.Resolve(id); !fault.Is(err, fault.Unprocessable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if got := set.Children("base"); !reflect.DeepEqual(got, []string{"clash", "leaf", "mid"}) {
		t.Errorf("children of base: %v", got)
	}
}

// TestDirs: an edit is seen, a bad file spoils nothing but itself, and the
// earlier directory counts.
func TestDirs(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first, "a.yaml", "name: first\n")
	write(second, "a.yaml", "name: second\n")
	write(second, "b.yaml", "nonsense: true\n")
	write(second, "c.yml", "name: c\n")
	write(second, ".hidden.yaml", "name: c\n")
	write(second, "no id.yaml", "name: c\n")
	if err := os.Mkdir(filepath.Join(second, "dir.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(second, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	d := NewDirs(first, second, filepath.Join(second, "missing"))
	load := func() Set {
		set, err := d.Load()
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	set := load()
	for id, bad := range map[string]string{"b": "line 1: nonsense", "no id": "is no id", "dir": "no regular file", "link": "cannot be read"} {
		if p := set[id]; !strings.Contains(p.Problem, bad) || p.Source != SourceFile {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if len(set) != 5 || set["a"].Name != "first" || set["a"].Problem != "" {
		t.Errorf("%+v", set)
	}
	write(first, "a.yaml", "name: first, changed\n")
	write(second, "b.yaml", "name: fine\n")
	set = load()
	if set["a"].Name != "first, changed" || set["b"].Name != "fine" {
		t.Errorf("%+v", set)
	}
	if err := os.Remove(filepath.Join(first, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if set = load(); set["a"].Name != "second" {
		t.Errorf("%+v", set)
	}
}

// TestKeys: the defaults have the names and types of a job's keys.
func TestKeys(t *testing.T) {
	t.Parallel()
	spec := reflect.TypeFor[job.Spec]()
	for f := range reflect.TypeFor[defaults]().Fields() {
		of, ok := spec.FieldByName(f.Name)
		if key, _, _ := strings.Cut(of.Tag.Get("json"), ","); !ok || of.Type != f.Type || key != f.Tag.Get("json") {
			t.Errorf("%s is another in a job: %+v", f.Name, of)
		}
	}
}
