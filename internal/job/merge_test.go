package job

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOver(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		name             string
		own, base, merge Spec
	}{
		{"nothing", Spec{}, Spec{}, Spec{}},
		{"what is open", Spec{VMPath: "/vm"}, Spec{Format: "raw", ExcludeDisks: []string{"1"}}, Spec{VMPath: "/vm", Format: "raw", ExcludeDisks: []string{"1"}}},
		{"what is given", Spec{Format: "ova", Compress: &no, ExcludeDisks: []string{}}, Spec{Format: "raw", Compress: &yes, ExcludeDisks: []string{"1"}}, Spec{Format: "ova", Compress: &no, ExcludeDisks: []string{}}},
		{"labels by key", Spec{Labels: map[string]string{"a": "1"}}, Spec{Labels: map[string]string{"a": "0", "b": "2"}}, Spec{Labels: map[string]string{"a": "1", "b": "2"}}},
		{"verify against verify_checksum", Spec{Verify: "none"}, Spec{VerifyChecksum: &yes}, Spec{Verify: "none"}},
		{"verify_checksum against verify", Spec{VerifyChecksum: &yes}, Spec{Verify: "none"}, Spec{VerifyChecksum: &yes}},
		{"a compression against none", Spec{Compression: "zstd"}, Spec{Compress: &no}, Spec{Compression: "zstd"}},
	} {
		if got := c.own.Over(c.base); !reflect.DeepEqual(got, c.merge) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.merge)
		}
	}
}

// TestSwitches: what the keys of the roadmap mean.
func TestSwitches(t *testing.T) {
	const valid = `vm_path: /vm
bandwidth_limit: 50MB
bandwidth_windows: ["Mon-Fri 08:00-18:00 = 5MB"]
enable_checkpoints: false
verify_checksum: false
generate_manifest: true
`
	specs, err := DecodeSpecs([]byte(valid), "application/yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := specs[0].WithDefaults()
	if err := s.Validate(time.Now()); err != nil {
		t.Fatal(err)
	}
	plan, err := s.Bandwidth()
	if err != nil || plan.Rate != 50e6 || len(plan.Windows) != 1 || s.Verify != "none" || s.Checkpoints() || !s.Manifest() {
		t.Errorf("%+v, %+v, %v", plan, s, err)
	}
	plain := Spec{}.WithDefaults()
	if plain.Verify != "full" || !plain.Checkpoints() || !plain.Manifest() {
		t.Errorf("%+v", plain)
	}
	if raw := (Spec{Format: "raw"}); raw.Manifest() {
		t.Error("raw has a manifest without being asked")
	}
	for text, says := range map[string]string{
		`{"vm_path":"/vm","bandwidth_limit":1000000}`:                            "",
		`{"vm_path":"/vm","bandwidth_limit":0}`:                                  "",
		`{"vm_path":"/vm","bandwidth_limit":null}`:                               "",
		`{"vm_path":"/vm","bandwidth_limit":true}`:                               "must be a text, not a truth value",
		`{"vm_path":"/vm","bandwidth_limit":["50MB"]}`:                           "must be a text, not a list",
		`{"vm_path":"/vm","bandwidth_limit":1e9}`:                                "no rate",
		`{"vm_path":"/vm","bandwidth_limit":-1}`:                                 "no rate",
		`{"vm_path":"/vm","bandwidth_limit":"99999999999999999999"}`:             "petabyte",
		`{"vm_path":"/vm","bandwidth_windows":"08:00-09:00 = 5MB"}`:              "must be a list",
		`{"vm_path":"/vm","verify":"none","verify_checksum":true}`:               "contradicts",
		`{"vm_path":"/vm","verify":"full","verify_checksum":false}`:              "contradicts",
		`{"vm_path":"/vm","verify":"full","verify_checksum":true}`:               "",
		`{"vm_path":"/vm","enable_checkpoint":true}`:                             "did you mean enable_checkpoints?",
		`{"vm_path":"/vm","bandwidth_windows":["08:00-09:00 = 5MB","tomorrow"]}`: "no bandwidth window",
	} {
		specs, err := DecodeSpecs([]byte(text), "application/json")
		if err == nil {
			err = specs[0].WithDefaults().Validate(time.Now())
		}
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
