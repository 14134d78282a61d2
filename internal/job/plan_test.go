package job

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const roadmap = "../../examples/workflow.yaml"

func TestTheRoadmapsWorkflow(t *testing.T) {
	text, err := os.ReadFile(roadmap)
	if err != nil {
		t.Fatal(err)
	}
	specs, err := DecodeSpecs(text, "application/yaml")
	if err != nil || len(specs) != 1 {
		t.Fatal(len(specs), err)
	}
	s := specs[0].WithDefaults()
	if err := s.Validate(time.Now()); err != nil {
		t.Fatal(err)
	}
	if s.Name != "Backup and Convert Workflow" || s.VM() != "/DC/vm/web-01" || len(s.Plan().Main()) != 4 {
		t.Fatalf("%+v", s)
	}
	if up := s.Jobs[2]; up.Input.Step() != "convert" || !reflect.DeepEqual(up.DependsOn, Names{"convert"}) {
		t.Fatalf("%+v", up)
	}
	if shown := fmt.Sprint(s.Shown()); strings.Contains(shown, "slack.com/...") || !strings.Contains(s.Jobs[3].URL, "...") {
		t.Fatal("the webhook's URL is shown: " + shown)
	}
}

// flow is a workflow of one export e and what the case adds; the first line of
// more is line 7.
func flow(more string) string {
	return "name: n\njobs:\n  - id: e\n    type: export\n    vm_path: /DC/vm/a\n    format: qcow2\n" + more
}

func TestMistakenWorkflows(t *testing.T) {
	hook := "  - {id: h, type: webhook, url: https://h/x"
	up := "  - {id: u, type: upload, destination: s3://b/p"
	deep := "jobs: " + strings.Repeat("[", 40) + strings.Repeat("]", 40)
	many := "jobs:\n" + strings.Repeat("  - {id: a, type: export, vm_path: x}\n", 101)
	for _, c := range []struct {
		name, text, code string
		words            []string
	}{
		{"no id", flow("  - type: webhook\n    url: https://h/x\n"), "HX-FLOW-002", []string{"line 7, column 5", "no id"}},
		{"bad id", flow("  - {id: ../x, type: webhook, url: https://h/x}\n"), "HX-FLOW-002", []string{"line 7, column 10"}},
		{"NUL in an id", flow("  - {id: \"a\\0b\", type: webhook, url: https://h/x}\n"), "HX-FLOW-002", []string{"line 7, column 10"}},
		{"id twice", flow("  - {id: e, type: webhook, url: https://h/x}\n"), "HX-FLOW-002", []string{"line 7, column 10", "twice"}},
		{"no type", flow("  - {id: h, url: https://h/x}\n"), "HX-FLOW-003", []string{"line 7, column 5", "no type", "upload, "}},
		{"unknown type", flow("  - {id: h, type: shell}\n"), "HX-FLOW-003", []string{"line 7, column 19", `"shell"`, "export, "}},
		{"unknown dependency", flow(hook + ", depends_on: [x]}\n"), "HX-FLOW-004", []string{"line 7, column 58", `"x"`}},
		{"mistyped dependency", flow("  - id: h\n    type: webhook\n    url: https://h/x\n    depends_on:\n      - e\n      - ee\n"),
			"HX-FLOW-004", []string{"line 12, column 9", "did you mean e"}},
		{"dependency twice", flow(hook + ", depends_on: [e, e]}\n"), "HX-FLOW-004", []string{"line 7, column 62", "twice"}},
		{"depends on itself", flow(hook + ", depends_on: h}\n"), "HX-FLOW-005", []string{"line 7, column 58", "itself"}},
		{"cycle", flow("  - {id: a, type: webhook, url: https://h/x, depends_on: b}\n  - {id: b, type: webhook, url: https://h/x, depends_on: [e, a]}\n"),
			"HX-FLOW-005", []string{"line 8, column 62", "a → b → a"}},
		{"waits for finally", flow("  - {id: a, type: webhook, url: https://h/x, depends_on: f}\nfinally:\n  - {id: f, type: webhook, url: https://h/x}\n"),
			"HX-FLOW-005", []string{"line 7, column 58", "finally"}},
		{"unknown input", flow(up + ", depends_on: e, input: $exprt.output}\n"), "HX-FLOW-004", []string{"line 7, column 72", `"exprt"`}},
		{"input is no reference", flow(up + ", depends_on: e, input: /etc/passwd}\n"), "HX-FLOW-008", []string{"line 7, column 72", "$STEP.output"}},
		{"input of another property", flow(up + ", depends_on: e, input: $e.token}\n"), "HX-FLOW-008", []string{"line 7, column 72"}},
		{"shell in an input", flow(up + ", depends_on: e, input: \"$(id).output\"}\n"), "HX-FLOW-008", []string{"line 7, column 72"}},
		{"input of no ancestor", flow(up + ", input: $e.output}\n"), "HX-FLOW-006", []string{"line 7, column 57", "add it to depends_on"}},
		{"input of itself", flow(up + ", depends_on: e, input: $u.output}\n"), "HX-FLOW-005", []string{"line 7, column 72", "itself"}},
		{"a webhook has no output", flow(hook + ", depends_on: e}\n" + up + ", depends_on: h, input: $h.output}\n"), "HX-FLOW-007",
			[]string{"line 8, column 72", "webhook has no output"}},
		{"objects are no disks", flow(up + ", depends_on: e, input: $e.output}\n  - {id: v, type: upload, destination: s3://b/q, depends_on: u, input: $u.output}\n"),
			"HX-FLOW-007", []string{"line 8, column 72", "takes disks", "makes objects"}},
		{"no input", flow(up + ", depends_on: e}\n"), "HX-FLOW-010", []string{"line 7, column 5", "input is missing"}},
		{"no url", flow("  - {id: h, type: webhook}\n"), "HX-FLOW-010", []string{"line 7, column 5", "url is missing"}},
		{"url of another scheme", flow("  - {id: h, type: webhook, url: file:///etc/passwd}\n"), "HX-FLOW-010", []string{"line 7, column 33", "https"}},
		{"password in a url", flow("  - {id: h, type: webhook, url: https://u:p@h/}\n"), "HX-FLOW-010", []string{"line 7, column 33", "password"}},
		{"destination", flow("  - {id: u, type: upload, destination: ftp://x/y, depends_on: e, input: $e.output}\n"), "HX-FLOW-010", []string{"line 7, column 40", "s3://"}},
		{"no bucket", flow("  - {id: u, type: upload, destination: s3:///y, depends_on: e, input: $e.output}\n"), "HX-FLOW-010", []string{"line 7, column 40", "bucket"}},
		{"relative file", flow("  - {id: u, type: upload, destination: file://x, depends_on: e, input: $e.output}\n"), "HX-FLOW-010", []string{"line 7, column 40"}},
		{"a billion attempts", flow(hook + ", retry: {max_attempts: 1000000000}}\n"), "HX-FLOW-010", []string{"line 7, column 68", "between"}},
		{"many attempts", flow(hook + ", retry: {max_attempts: 101}}\n"), "HX-FLOW-010", []string{"line 7, column 68", "100"}},
		{"negative pause", flow(hook + ", retry: {backoff: -1s}}\n"), "HX-FLOW-010", []string{"line 7, column 63", "10s"}},
		{"timeout", flow(hook + ", timeout: soon}\n"), "HX-FLOW-010", []string{"line 7, column 55", "timeout"}},
		{"condition", flow(hook + ", depends_on: e, when: maybe}\n"), "HX-FLOW-009", []string{"line 7, column 67", "success, failure, always"}},
		{"failure of nothing", flow(hook + ", when: failure}\n"), "HX-FLOW-009", []string{"line 7, column 52", "depends_on"}},
		{"key of another type", flow(hook + ", destination: s3://b/p}\n"), "HX-JOB-004", []string{"line 7, column 46", "webhook has no such key"}},
		{"unknown key", flow(hook + ", mesage: x}\n"), "HX-JOB-004", []string{"line 7, column 46", "did you mean message"}},
		{"key of a job", flow("vm_path: /x\n"), "HX-JOB-004", []string{"line 7, column 1", "no such key"}},
		{"a step that is a text", flow("  - e\n"), "HX-JOB-004", []string{"line 7, column 5", "a mapping"}},
		{"number as an id", flow("  - {id: 7, type: webhook, url: https://h/x}\n"), "HX-JOB-004", []string{"line 7, column 10", "quotes"}},
		{"format of an export", "jobs:\n  - {id: e, type: export, vm_path: /x, format: vdi}\n", "HX-FLOW-010", []string{"line 2, column 48", "vdi"}},
		{"rate that is none", flow("    bandwidth_limit: fast\n"), "HX-FLOW-010", []string{"line 7, column 22", "fast", "50MB"}},
		{"rate of a truth", flow("    bandwidth_limit: true\n"), "HX-JOB-004", []string{"line 7, column 22", "quotes"}},
		{"window that is none", flow("    bandwidth_windows: [\"Mon 08:00 = 5MB\"]\n"), "HX-FLOW-010", []string{"line 7, column 24"}},
		{"checksum against verify", flow("    verify: none\n    verify_checksum: true\n"), "HX-FLOW-010", []string{"line 8, column 22", "contradicts"}},
		{"profile of a webhook", flow(hook + ", profile: p}\n"), "HX-JOB-004", []string{"line 7, column 46", "webhook has no such key"}},
		{"profile of the whole", flow("profile: p\n"), "HX-JOB-004", []string{"line 7, column 1", "no such key"}},
		{"rate of the whole", flow("bandwidth_limit: fast\n"), "HX-FLOW-010", []string{"fast"}},
		{"no vm_path", "jobs:\n  - {id: e, type: export}\n", "HX-FLOW-010", []string{"line 2, column 5", "vm_path is missing"}},
		{"key twice", flow("  - {id: h, id: i}\n"), "HX-JOB-002", []string{"line 7", "twice"}},
		{"only finally", "finally:\n  - {id: h, type: webhook, url: https://h/x}\n", "HX-FLOW-001", []string{"no jobs"}},
		{"101 steps", many, "HX-FLOW-001", []string{"line 102, column 5", "101"}},
		{"alias", flow("  - &a {id: h, type: webhook}\n  - *a\n"), "HX-JOB-002", []string{"anchors"}},
		{"deep", deep, "HX-JOB-002", nil},
		{"priority", flow("priority: urgent\n"), "HX-FLOW-010", []string{"critical"}},
		{"json", "{\"jobs\": [\n  {\"id\": \"e\", \"type\": \"export\", \"vm_path\": \"x\"},\n  {\"id\": \"u\", \"type\": \"upload\", \"destination\": \"s3://b/\", \"input\": \"$x.output\"}]}",
			"HX-FLOW-004", []string{"line 3, column 68", `"x"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			specs, err := DecodeSpecs([]byte(c.text), "")
			want := fault.Invalid
			if err == nil {
				want = fault.Unprocessable
				err = specs[0].WithDefaults().Validate(time.Now())
			}
			if !fault.Is(err, want) || fault.As(err).Code != c.code {
				t.Fatalf("got %v, want %s", err, c.code)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in %s", w, err)
				}
			}
		})
	}
}

// TestBatchesStayBatches: jobs without id, type and depends_on are what they were.
func TestBatchesStayBatches(t *testing.T) {
	specs, err := DecodeSpecs([]byte(`{"jobs": [{"vm_path": "a"}, {"name": "w", "jobs": [{"id": "e", "type": "export", "vm_path": "b"}]}]}`), "")
	if err != nil || len(specs) != 2 || specs[0].IsWorkflow() || !specs[1].IsWorkflow() {
		t.Fatalf("%+v %v", specs, err)
	}
	if _, err := DecodeSpecs([]byte("vm_path: a\nfinally: []\njobs:\n  - id: e\n"), ""); !fault.Is(err, fault.Invalid) {
		t.Fatal(err)
	}
}

func TestPausesGrow(t *testing.T) {
	s := Step{Retry: &RetryPolicy{Backoff: "1s", MaxBackoff: "3s"}}
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 3 * time.Second, 90: 3 * time.Second} {
		if got := s.Pause(attempt); got != want {
			t.Errorf("after attempt %d: %s", attempt, got)
		}
	}
	if got := new(Step).Pause(1); got != defaultBackoff {
		t.Errorf("by default: %s", got)
	}
}
