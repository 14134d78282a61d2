package telemetry

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDashboardsAndAlertsNameWhatThereIs: no query of the files in deploy/ asks
// for a metric that the daemon does not have.
func TestDashboardsAndAlertsNameWhatThereIs(t *testing.T) {
	var have []string
	for _, m := range registered(t, everything()) {
		have = append(have, m.name)
		if kind(m.name) == "histogram" {
			have = append(have, m.name+"_bucket", m.name+"_sum", m.name+"_count")
		}
	}
	for _, file := range []string{"grafana/hypervisord.json", "prometheus/hypervisord.rules.yml", "prometheus/hypervisord.rules.test.yml"} {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bhypervisord_\w+`).FindAllString(string(text), -1)
		if len(names) < 15 {
			t.Errorf("%s asks for %d metrics only", file, len(names))
		}
		for _, name := range names {
			if !slices.Contains(have, name) {
				t.Errorf("%s asks for %s, which there is not", file, name)
			}
		}
	}
}

// TestAlerts runs Prometheus's own tests of the rules.
func TestAlerts(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: run scripts/deps.sh prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "hypervisord.rules.yml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "hypervisord.rules.test.yml"}} {
		c := exec.Command(promtool, args...)
		c.Dir = "../../deploy/prometheus"
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// Each rule is rung by the tests once.
	rules, err := os.ReadFile("../../deploy/prometheus/hypervisord.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../../deploy/prometheus/hypervisord.rules.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, hit := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), `{alertname="`+hit[1]+`"}`) {
			t.Errorf("no test rings %s", hit[1])
		}
	}
}
