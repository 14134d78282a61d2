package job

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestDecodeSpecs(t *testing.T) {
	yes := true
	at := time.Date(2026, 3, 1, 21, 0, 0, 0, time.UTC)
	full := Spec{
		Name: "n", VMPath: "/DC/vm/web-01", Provider: "vsphere", Format: "qcow2", OutputPath: "out", Priority: High,
		Compress: &yes, Compression: "zstd", CompressionLvl: 3, Verify: "none", Transport: "nfc",
		ExcludeDisks: []string{"2001"}, PowerOff: true, MaxAttempts: 5, Timeout: "2h", NotBefore: &at,
		Labels: map[string]string{"team": "a"},
	}
	one := Spec{VMPath: "/DC/vm/web-01"}
	for _, c := range []struct {
		name, contentType, body string
		want                    []Spec
	}{
		{"json", "application/json", `{"vm_path": "/DC/vm/web-01"}`, []Spec{one}},
		{"json list", "application/json; charset=utf-8", `[{"vm_path": "/DC/vm/web-01"},{"vm_path": "/DC/vm/web-01"}]`, []Spec{one, one}},
		{"json jobs", "application/vnd.hx+json", `{"jobs":[{"vm_path": "/DC/vm/web-01"}]}`, []Spec{one}},
		{"curl's default", "application/x-www-form-urlencoded", "\n {\"vm_path\": \"/DC/vm/web-01\"}", []Spec{one}},
		{"no type, yaml", "", "vm_path: /DC/vm/web-01\n", []Spec{one}},
		{"yaml list", "application/yaml", "- vm_path: /DC/vm/web-01\n- {vm_path: /DC/vm/web-01}\n", []Spec{one, one}},
		{"yaml jobs", "text/x-yaml", "jobs:\n  - vm_path: /DC/vm/web-01\n", []Spec{one}},
		{"null is left out", "", `{"vm_path": "/DC/vm/web-01", "name": null, "compress": null}`, []Spec{one}},
		{"empty list", "", `[]`, []Spec{}},
		{"all keys, yaml", "application/yaml", `
name: n
vm_path: /DC/vm/web-01
provider: vsphere
format: qcow2
output_path: out
priority: high
compress: true
compression: zstd
compression_level: 3
verify: none
transport: nfc
exclude_disks: ["2001"]
power_off: true
max_attempts: 5
timeout: 2h
not_before: 2026-03-01T22:00:00+01:00
labels: {team: a}
`, []Spec{full}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodeSpecs([]byte(c.body), c.contentType)
			if err != nil {
				t.Fatal(fault.Detail(err))
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestDecodeSpecsRefuses: each mistake is of kind Invalid and the message holds
// all the given words.
func TestDecodeSpecsRefuses(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		words                   []string
	}{
		{"unknown key", "", "vm_path: x\npriorty: low\n", []string{"line 2", "priorty", "did you mean priority"}},
		{"unknown key in a list", "", `{"jobs": [{"vm_path": "x"},` + "\n" + `{"vm_paht": "x"}]}`, []string{"line 2", "jobs[1].vm_paht", "did you mean vm_path"}},
		{"case counts", "", `{"VM_PATH": "x"}`, []string{"VM_PATH", "unknown key"}},
		{"the tenant comes from the credential", "", `{"vm_path": "x", "tenant": "other"}`, []string{"tenant", "unknown key"}},
		{"key beside jobs", "", `{"jobs": [], "name": "x"}`, []string{"name", "beside jobs"}},
		{"jobs is no list", "", "jobs: 3", []string{"jobs", "a list", "a number"}},
		{"twice, json", "", "{\"vm_path\": \"a\",\n\"vm_path\": \"b\"}", []string{"line 2", "vm_path", "twice"}},
		{"twice, escaped", "", `{"vm_path": "a", "vm_p\u0061th": "b"}`, []string{"vm_path", "twice"}},
		{"twice, yaml", "", "vm_path: a\nvm_path: b", []string{"line 2", "vm_path", "twice"}},
		{"all problems", "", "a: 1\nb: 2\nname: 3\n", []string{"line 1: a", "line 2: b", "line 3: name", "quotes"}},
		{"number for a text", "", "name: 1.10", []string{"name", "a text", "a number", "quotes"}},
		{"text for a number", "", `max_attempts: "3"`, []string{"max_attempts", "a number"}},
		{"fraction", "", `max_attempts: 1.5`, []string{"max_attempts", "whole number"}},
		{"1e9 as exponent", "", `max_attempts: 1e9`, []string{"max_attempts", "whole number"}},
		{"big number", "", `{"max_attempts": 99999999999999999999}`, []string{"max_attempts", "whole number"}},
		{"hex", "", `max_attempts: 0x10`, []string{"max_attempts", "whole number"}},
		{"yes is no truth value", "", `power_off: yes`, []string{"power_off", "a truth value"}},
		{"bad time", "", `not_before: 2026-13-01T00:00:00Z`, []string{"not_before", "2026-03-01T22:00:00Z"}},
		{"bare date", "", `not_before: 2026-12-01`, []string{"not_before"}},
		{"list item", "", `exclude_disks: [2000]`, []string{"exclude_disks[0]", "quotes"}},
		{"label value", "", `labels: {a: 1}`, []string{"labels.a", "quotes"}},
		{"scalar body", "", `hello`, []string{"the body", "mapping"}},
		{"number in list", "", `[1]`, []string{"jobs[0]", "mapping"}},
		{"empty", "", ``, []string{"no documents"}},
		{"comment only", "", `# nothing`, []string{"no documents"}},
		{"empty json", "application/json", ``, []string{"ends too early"}},
		{"cut json", "", `{"vm_path": "x"`, []string{"ends too early"}},
		{"bad json", "", "{\"vm_path\":\n 'x'}", []string{"line 2", "no JSON"}},
		{"two json texts", "", `{"vm_path": "x"} {}`, []string{"follows"}},
		{"two yaml documents", "", "vm_path: x\n---\nvm_path: y\n", []string{"multiple"}},
		{"anchor", "", "vm_path: &a x\n", []string{"line 1", "anchors"}},
		{"alias", "", "vm_path: x\nname: *a\n", []string{"no YAML"}},
		{"alias bomb", "", bomb(), []string{"line 1", "anchors"}},
		{"merge", "", "<<: {vm_path: x}\n", []string{"plain text"}},
		{"tag", "", "vm_path: !!str 5\n", []string{"tags"}},
		{"binary tag", "", "vm_path: !!binary aGk=\n", []string{"tags"}},
		{"complex key", "", "? [a]\n: 1\n", []string{"plain text"}},
		{"number as key", "", "1: x\n", []string{"plain text"}},
		{"deep json", "", strings.Repeat("[", 100_000), []string{"deep"}},
		{"deep yaml", "application/yaml", strings.Repeat("[", 100_000), []string{"depth"}},
		{"deep block yaml", "application/yaml", strings.Repeat("- ", 100_000), []string{"depth"}},
		{"NUL", "", "vm_path: a\x00b", []string{"control"}},
		{"not UTF-8", "", "vm_path: \xff", []string{"UTF-8"}},
		{"10 MB", "application/json", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, []string{"bytes"}},
		{"big yaml", "application/yaml", "name: " + strings.Repeat("x", 300<<10), []string{"bytes"}},
		{"xml", "application/xml", `<job/>`, []string{"application/xml"}},
		{"malformed type", "a/b/c;;", `{}`, []string{"malformed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			specs, err := DecodeSpecs([]byte(c.body), c.contentType)
			if !fault.Is(err, fault.Invalid) || specs != nil {
				t.Fatalf("got %d jobs and %v", len(specs), err)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in %s", w, err)
				}
			}
			if len(err.Error()) > 8<<10 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func bomb() string {
	b := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := byte('b'); c < 'k'; c++ {
		prev := string(c - 1)
		b += string(c) + ": &" + string(c) + " [*" + prev + strings.Repeat(",*"+prev, 8) + "]\n"
	}
	return b
}

// FuzzDecodeSpecs: whatever comes in, the answer is jobs or Invalid, and jobs
// that were read survive a round trip.
func FuzzDecodeSpecs(f *testing.F) {
	f.Add([]byte(`{"jobs":[{"vm_path":"x","labels":{"a":"b"},"not_before":"2026-01-01T00:00:00Z"}]}`), true)
	f.Add([]byte("- vm_path: x\n  exclude_disks: [a]\n- {}\n"), false)
	f.Add([]byte("{\"a\\u0000\": [1e400, -0, null, true]}"), true)
	f.Fuzz(func(t *testing.T, body []byte, isJSON bool) {
		contentType := "application/yaml"
		if isJSON {
			contentType = "application/json"
		}
		specs, err := DecodeSpecs(body, contentType)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(fault.Detail(err))
			}
			return
		}
		for _, s := range specs {
			if err := s.WithDefaults().Validate(time.Unix(0, 0)); err != nil && !fault.Is(err, fault.Unprocessable) {
				t.Fatal(fault.Detail(err))
			}
		}
	})
}
