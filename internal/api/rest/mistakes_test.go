package rest_test

import (
	"fmt"
	"strings"
	"testing"
)

// mistake is one wrong input, and the refusal that it must meet.
type mistake struct {
	name, method, path, contentType, body string
	status                                int
	code                                  string
}

const asJSON, asYAML, asForm = "application/json", "application/yaml", "application/x-www-form-urlencoded"

// The inputs that each of the four nouns gets.
func mistakes() (all []mistake) {
	submit := func(name, contentType, body string, status int, code string) {
		all = append(all, mistake{"submit: " + name, "POST", "/jobs/submit", contentType, body, status, code})
	}
	workflow := func(name, body string, status int, code string) {
		all = append(all, mistake{"workflow: " + name, "POST", "/jobs/submit", asYAML, body, status, code})
	}
	profile := func(name, id, body string, status int, code string) {
		all = append(all, mistake{"profile: " + name, "PUT", "/profiles/" + id, asYAML, body, status, code})
	}
	schedule := func(name, body string, status int, code string) {
		all = append(all, mistake{"schedule: " + name, "POST", "/schedules", asJSON, body, status, code})
	}
	tenant := func(name, body string, status int, code string) {
		all = append(all, mistake{"tenant: " + name, "POST", "/tenants", asJSON, body, status, code})
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n"
	huge := strings.Repeat("x", 10<<20)

	submit("YAML bomb", asYAML, bomb+"vm_path: /x\n", 400, "HX-JOB-002")
	submit("YAML anchor", asYAML, "vm_path: &a /x\n", 400, "HX-JOB-002")
	submit("YAML alias", asYAML, "name: &a x\nvm_path: *a\n", 400, "HX-JOB-002")
	submit("YAML merge key", asYAML, "vm_path: /x\n<<: {name: y}\n", 400, "HX-JOB-002")
	submit("YAML tag", asYAML, "vm_path: !!python/object /x\n", 400, "HX-JOB-002")
	submit("YAML documents", asYAML, "vm_path: /x\n---\nvm_path: /y\n", 400, "HX-JOB-002")
	submit("YAML number as a name", asYAML, "vm_path: /x\nname: 007\n", 400, "HX-JOB-004")
	submit("YAML yes", asYAML, "vm_path: /x\npower_off: yes\n", 400, "HX-JOB-004")
	submit("repeated key in YAML", asYAML, "vm_path: /x\nvm_path: /y\n", 400, "HX-JOB-002")
	submit("unknown key in YAML", asYAML, "vm_path: /x\nvm_pth: /y\n", 400, "HX-JOB-004")
	submit("unknown key in JSON", asJSON, `{"vm_path":"/x","vm_pth":"/y"}`, 400, "HX-JOB-004")
	submit("unknown key in a form", asForm, `{"vm_path":"/x","vm_pth":"/y"}`, 400, "HX-JOB-004")
	submit("10 MB of JSON", asJSON, `{"name":"`+huge+`"}`, 413, "HX-API-003")
	submit("10 MB of YAML", asYAML, "name: "+huge, 413, "HX-API-003")
	submit("10 MB in a form", asForm, `{"name":"`+huge+`"}`, 413, "HX-API-003")
	submit("1e9 attempts", asJSON, `{"vm_path":"/x","max_attempts":1e9}`, 400, "HX-JOB-004")
	submit("1000000000 attempts", asJSON, `{"vm_path":"/x","max_attempts":1000000000}`, 422, "HX-JOB-005")
	submit("999 attempts", asJSON, `{"vm_path":"/x","max_attempts":999}`, 422, "HX-JOB-005")
	submit("negative attempts", asJSON, `{"vm_path":"/x","max_attempts":-1}`, 422, "HX-JOB-005")
	submit("year 9999", asJSON, `{"vm_path":"/x","not_before":"9999-12-31T23:59:59Z"}`, 422, "HX-JOB-005")
	submit("year 10000", asJSON, `{"vm_path":"/x","not_before":"10000-01-01T00:00:00Z"}`, 400, "HX-JOB-004")
	submit("NUL in vm_path", asJSON, `{"vm_path":"/x\u0000y"}`, 422, "HX-JOB-005")
	submit("NUL in name", asJSON, `{"vm_path":"/x","name":"a\u0000b"}`, 422, "HX-JOB-005")
	submit("NUL in YAML", asYAML, "vm_path: \"/x\\0\"\n", 422, "HX-JOB-005")
	submit("../ in name", asJSON, `{"vm_path":"/x","name":"../../etc/passwd"}`, 422, "HX-JOB-005")
	submit("no job", asJSON, `{}`, 422, "HX-JOB-005")
	submit("no format", asJSON, `{"vm_path":"/x","format":"floppy"}`, 422, "HX-JOB-005")
	submit("negative bandwidth", asJSON, `{"vm_path":"/x","bandwidth_limit":-5}`, 422, "HX-JOB-005")
	submit("bandwidth of nothing", asJSON, `{"vm_path":"/x","bandwidth_limit":"fast"}`, 422, "HX-JOB-005")
	submit("negative timeout", asJSON, `{"vm_path":"/x","timeout":"-1h"}`, 422, "HX-JOB-005")
	submit("no profile", asJSON, `{"vm_path":"/x","profile":"nobody"}`, 422, "HX-PROFILE-010")
	submit("profile outside", asJSON, `{"vm_path":"/x","profile":"../../etc/passwd"}`, 422, "HX-PROFILE-010")
	submit("label key", asJSON, `{"vm_path":"/x","labels":{"a b":"c"}}`, 422, "HX-JOB-005")

	step := "  - {id: a, type: webhook, url: \"https://h/\"}\n"
	workflow("cycle", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", depends_on: b}\n  - {id: b, type: webhook, url: \"https://h/\", depends_on: a}\n", 422, "HX-FLOW-005")
	workflow("itself", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", depends_on: a}\n", 422, "HX-FLOW-005")
	workflow("duplicate id", "jobs:\n"+step+step, 422, "HX-FLOW-002")
	workflow("nobody", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", depends_on: b}\n", 422, "HX-FLOW-004")
	workflow("unknown type", "jobs:\n  - {id: a, type: shell}\n", 422, "HX-FLOW-003")
	workflow("unknown key", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", command: rm}\n", 400, "HX-JOB-004")
	workflow("key of another type", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", vm_path: /x}\n", 400, "HX-JOB-004")
	workflow("no steps", "jobs: []\nfinally: []\n", 400, "HX-JOB-004")
	workflow("1e9 retries", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", retry: {max_attempts: 1000000000}}\n", 422, "HX-FLOW-010")
	workflow("500 retries", "jobs:\n  - {id: a, type: webhook, url: \"https://h/\", retry: {max_attempts: 500}}\n", 422, "HX-FLOW-010")
	workflow("NUL in id", "jobs:\n  - {id: \"a\\0\", type: webhook, url: \"https://h/\"}\n", 422, "HX-FLOW-002")
	workflow("../ in id", "jobs:\n  - {id: ../a, type: webhook, url: \"https://h/\"}\n", 422, "HX-FLOW-002")
	workflow("reference to no output", "jobs:\n"+step+"  - {id: b, type: convert, depends_on: a, input: $a.output, target_format: raw}\n", 422, "HX-FLOW-007")
	workflow("reference to nobody", "jobs:\n  - {id: b, type: convert, input: $a.output, target_format: raw}\n", 422, "HX-FLOW-004")
	workflow("malformed reference", "jobs:\n"+step+"  - {id: b, type: convert, depends_on: a, input: \"$(rm -rf /)\", target_format: raw}\n", 422, "HX-FLOW-008")
	workflow("year 9999", "not_before: 9999-01-01T00:00:00Z\njobs:\n"+step, 422, "HX-FLOW-010")
	export := "jobs:\n  - {id: a, type: export, vm_path: /x, "
	workflow("no profile", export+"profile: nobody}\n", 422, "HX-PROFILE-010")
	workflow("profile outside", export+"profile: ../../etc/passwd}\n", 422, "HX-PROFILE-010")
	workflow("digest without profile", export+"profile_digest: sha256:00}\n", 422, "HX-PROFILE-035")
	workflow("bandwidth of nothing", export+"bandwidth_limit: fast}\n", 422, "HX-FLOW-010")
	workflow("window of nothing", export+"bandwidth_windows: [never]}\n", 422, "HX-FLOW-010")
	workflow("bomb", bomb+"jobs:\n"+step, 400, "HX-JOB-002")
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "  - {id: s%d, type: webhook, url: \"https://h/\"}\n", i)
	}
	workflow("300 steps", "jobs:\n"+many.String(), 422, "HX-FLOW-001")

	profile("unknown key", "p", "name: x\ndefaults: {formt: ova}\n", 400, "HX-PROFILE-003")
	profile("bomb", "p", bomb, 400, "HX-PROFILE-003")
	profile("anchor", "p", "name: &a x\n", 400, "HX-PROFILE-003")
	profile("which VM", "p", "defaults: {vm_path: /x}\n", 400, "HX-PROFILE-003")
	profile("large", "p", "description: "+strings.Repeat("x", 64<<10), 400, "HX-PROFILE-002")
	profile("10 MB", "p", "description: "+huge, 413, "HX-API-003")
	profile("extends itself", "p", "extends: p\n", 422, "HX-PROFILE-013")
	profile("extends nobody", "p", "extends: nobody\n", 422, "HX-PROFILE-011")
	profile("extends ../", "p", "extends: ../p\n", 422, "HX-PROFILE-004")
	profile("NUL in name", "p", "name: \"a\\0\"\n", 422, "HX-PROFILE-004")
	profile("../ in id", "..%2fp", "name: x\n", 400, "HX-PROFILE-001")
	profile("NUL in id", "p%00", "name: x\n", 400, "HX-PROFILE-001")
	profile("1e9 attempts", "p", "defaults: {max_attempts: 1000000000}\n", 422, "HX-PROFILE-005")
	profile("negative level", "p", "defaults: {compression_level: -3}\n", 422, "HX-PROFILE-005")

	schedule("no cron", `{"name":"s","jobs":[{"vm_path":"/x"}]}`, 422, "HX-SCHED-001")
	schedule("bad cron", `{"name":"s","cron":"99 * * * *","jobs":[{"vm_path":"/x"}]}`, 422, "HX-SCHED-001")
	schedule("no time zone", `{"name":"s","cron":"0 1 * * *","time_zone":"Mars/Olympus","jobs":[{"vm_path":"/x"}]}`, 422, "HX-SCHED-001")
	schedule("unknown key", `{"name":"s","cron":"0 1 * * *","crom":"x","jobs":[{"vm_path":"/x"}]}`, 400, "HX-JOB-004")
	schedule("no job", `{"name":"s","cron":"0 1 * * *"}`, 422, "HX-SCHED-001")
	schedule("bad job", `{"name":"s","cron":"0 1 * * *","jobs":[{"vm_path":"/x","format":"floppy"}]}`, 422, "HX-JOB-005")
	schedule("unknown overlap", `{"name":"s","cron":"0 1 * * *","overlap":"fight","jobs":[{"vm_path":"/x"}]}`, 422, "HX-SCHED-001")
	schedule("NUL in name", `{"name":"s\u0000","cron":"0 1 * * *","jobs":[{"vm_path":"/x"}]}`, 422, "HX-SCHED-001")
	schedule("10 MB", `{"name":"`+huge+`"}`, 413, "HX-API-003")
	schedule("negative jitter", `{"name":"s","cron":"0 1 * * *","jitter":"-1h","jobs":[{"vm_path":"/x"}]}`, 422, "HX-SCHED-001")

	tenant("negative quota", `{"id":"acme","max_concurrent_jobs":-1}`, 422, "HX-TENANT-002")
	tenant("negative storage", `{"id":"acme","max_storage_gb":-1}`, 400, "HX-API-006")
	tenant("../ in id", `{"id":"../acme"}`, 422, "HX-TENANT-002")
	tenant("unknown key", `{"id":"acme","max_jobs":1}`, 400, "HX-API-006")
	return all
}

// TestMistakes: each hostile or mistaken input is refused with the status and the
// code that say why, and nothing of it is stored.
func TestMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := map[string]string{}
	stored := []string{"/jobs", "/profiles", "/schedules", "/tenants"}
	for _, path := range stored {
		before[path] = w.call("GET", path, "").body
	}
	all := mistakes()
	if len(all) < 60 {
		t.Errorf("only %d", len(all))
	}
	for _, m := range all {
		got := w.call(m.method, m.path, m.body, "Content-Type", m.contentType)
		if got.status != m.status {
			t.Errorf("%s: %d, want %d: %.300s", m.name, got.status, m.status, got.body)
			continue
		}
		if p := got.problem(t); p.Code != m.code || p.Detail == "" || p.Fix == "" {
			t.Errorf("%s: %s (%s), want %s", m.name, p.Code, p.Detail, m.code)
		}
	}
	for _, path := range stored {
		if after := w.call("GET", path, "").body; after != before[path] {
			t.Errorf("%s had %s, has %s", path, before[path], after)
		}
	}
}
