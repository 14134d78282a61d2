package daemon

import (
	"os/exec"
	"testing"
)

// The unit exposes no more than 2.0 of 10, as systemd counts.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: run scripts/deps.sh systemd-analyze")
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
		"../../deploy/systemd/hypervisord.service").CombinedOutput()
	t.Logf("%s", out[max(0, len(out)-120):])
	if err != nil {
		t.Fatal(err)
	}
}
