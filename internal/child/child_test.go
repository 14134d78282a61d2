package child

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(t *testing.T, script string) Command {
	t.Helper()
	sh, err := Find("sh")
	if err != nil {
		t.Fatal(err)
	}
	return Command{Path: sh, Args: []string{"-c", script}, Dir: t.TempDir()}
}

func TestItSeesItsLinesAndItsFailure(t *testing.T) {
	c := shell(t, `echo one; printf 'two\033[2J\n' >&2; pwd; echo "$HOME $TMPDIR $SECRET"; exit 3`)
	t.Setenv("SECRET", "hunter2")
	var lines []string
	c.Line = func(s string) { lines = append(lines, s) }
	err := Run(t.Context(), c)
	if !fault.Is(err, fault.Unprocessable) || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "two [2J") {
		t.Fatal(err)
	}
	if got := strings.Join(lines, ","); got != "one,two [2J,"+c.Dir+","+c.Dir+" "+c.Dir {
		t.Fatalf("%q", got)
	}
}

// TestTheWholeGroupGoes: a grandchild, and one that ignores SIGTERM, do not
// outlive the step.
func TestTheWholeGroupGoes(t *testing.T) {
	for name, script := range map[string]string{
		"cancelled":              `sleep 1000 & echo $! > pid; echo up; wait`,
		"deaf":                   `trap '' TERM; sleep 1000 & echo $! > pid; echo up; while :; do sleep 1000; done`,
		"left behind at the end": `sleep 1000 & echo $! > pid; echo up`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := shell(t, script)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			why := errors.New("enough")
			if !strings.HasPrefix(name, "left") {
				c.Line = func(string) { cancel(why) }
			}
			if err := Run(ctx, c); (c.Line != nil) != errors.Is(err, why) {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(c.Dir, "pid"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the grandchild is alive")
				}
			}
		})
	}
}

// alive tells whether the process runs; init may not have collected a dead one.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
