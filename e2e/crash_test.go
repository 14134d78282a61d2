//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
)

// clients submit at once.
const clients = 16

// TestCrashEngine kills the engine at random instants while 16 clients submit
// jobs with idempotency keys and 8 workers run them. No accepted job is lost, no
// submit that was repeated makes two jobs, and every job completes exactly once.
func TestCrashEngine(t *testing.T) {
	jobs, kills := size(1000, 10_000), size(20, 200)
	rng := chance(t)
	c := newCrash(t)
	c.start()
	left := make(chan int, jobs)
	for i := range jobs {
		left <- i
	}
	close(left)
	var (
		all   sync.WaitGroup
		begun atomic.Int64 // jobs whose submit is under way
	)
	for range clients {
		all.Go(func() {
			for i := range left {
				begun.Add(1)
				c.submit(i)
			}
		})
	}
	// The kills are spread over the submits: each comes when its share of them is
	// under way, and a random moment later.
	for k := range kills {
		eventually(t, "the next kill", func() bool { return begun.Load() >= int64(k*jobs/kills) })
		<-time.After(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
		c.restart()
	}
	all.Wait()
	c.settle(jobs)
	c.check(jobs)
	t.Logf("%d jobs, %d kills, %d submits repeated; the longest start after a kill took %s",
		jobs, kills, c.repeats.Load(), c.slowest.Round(time.Millisecond))
}

// crash is an engine in a process of its own, with what its clients know.
type crash struct {
	*testing.T
	dir     string
	api     *client.Client
	cmd     *exec.Cmd
	slowest time.Duration // from the start of the process to its first answer

	repeats  atomic.Int64
	mu       sync.Mutex
	accepted map[string]int // job id → which submit
}

func newCrash(t *testing.T) *crash {
	c := &crash{T: t, dir: t.TempDir(), accepted: map[string]int{}}
	var err error
	if c.api, err = client.New("unix://"+crashSocket(c.dir), client.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill() })
	return c
}

// start runs the engine and waits until it answers.
func (c *crash) start() {
	c.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	begin := time.Now()
	c.cmd = exec.Command(exe)
	c.cmd.Env = append(os.Environ(), crashDir+"="+c.dir)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		c.Fatalf("the engine does not start: %q %v", line, err)
	}
	c.slowest = max(c.slowest, time.Since(begin))
}

func (c *crash) kill() {
	_ = c.cmd.Process.Kill() // it may have ended by itself: Wait tells
	_ = c.cmd.Wait()
}

func (c *crash) restart() {
	c.Helper()
	c.kill()
	if code := c.cmd.ProcessState.ExitCode(); code != -1 {
		c.Fatalf("the engine had ended by itself with code %d", code)
	}
	c.start()
}

// submit submits job i until it is accepted: always the same request under the
// same idempotency key.
func (c *crash) submit(i int) {
	body := fmt.Appendf(nil, `{"vm_path": "/DC/vm/vm-%d"}`, i)
	for {
		out, err := c.api.SubmitKeyed(c.Context(), fmt.Sprintf("crash-%d", i), body, "application/json")
		switch {
		case err == nil && len(out.JobIDs) == 1:
			c.mu.Lock()
			c.accepted[out.JobIDs[0]] = i
			c.mu.Unlock()
			return
		case c.Context().Err() != nil:
			return
		case err == nil || !transient(err):
			c.Errorf("submit %d: %v %v", i, out, err)
			return
		}
		c.repeats.Add(1)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-c.Context().Done():
		}
	}
}

// transient tells whether the engine was away: everything else is a defect.
func transient(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && (e.Status == 0 || e.Status == 503)
}

// settle waits until nothing is left to do.
func (c *crash) settle(jobs int) {
	c.Helper()
	eventually(c.T, "the end of all jobs", func() bool {
		st, err := c.api.Status(context.WithoutCancel(c.Context()))
		return err == nil && st.Jobs[client.Completed] >= int64(jobs)
	})
}

func (c *crash) check(jobs int) {
	c.Helper()
	if len(c.accepted) != jobs {
		c.Errorf("%d jobs accepted for %d submits", len(c.accepted), jobs)
	}
	found := 0
	for j, err := range c.api.Jobs(c.Context(), client.Query{Limit: 1000}) {
		if err != nil {
			c.Fatal(err)
		}
		found++
		if _, ok := c.accepted[j.ID]; !ok {
			c.Errorf("job %s was accepted from nobody: a repeated submit made two", j.ID)
		}
		if j.Status != client.Completed {
			c.Errorf("job %s is %s", j.ID, j.Status)
		}
		c.once(j.ID)
	}
	if found != jobs {
		c.Errorf("%d jobs are there, %d were submitted", found, jobs)
	}
	c.ran()
}

// once checks the history of a job: one submit, one end, and never two runs
// without an interruption between them.
func (c *crash) once(id string) {
	c.Helper()
	count := map[string]int{}
	for u, err := range c.api.Events(c.Context(), id, 0) {
		if err != nil {
			c.Fatal(err)
		}
		if u.Event != nil {
			count[u.Event.Kind]++
		}
	}
	if count["job.submitted"] != 1 || count["job.completed"] != 1 || count["job.started"] != count["job.interrupted"]+1 {
		c.Errorf("the history of %s: %v", id, count)
	}
}

// ran checks that every job was really at work.
func (c *crash) ran() {
	c.Helper()
	text, err := os.ReadFile(ranLog(c.dir))
	if err != nil {
		c.Fatal(err)
	}
	worked := map[string]bool{}
	for id := range strings.Lines(string(text)) {
		worked[strings.TrimSpace(id)] = true
	}
	for id := range c.accepted {
		if !worked[id] {
			c.Errorf("job %s completed without a run", id)
		}
	}
}
