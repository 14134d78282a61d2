// Package child runs the external programs that steps need, and only those: with
// fixed arguments, in a process group and a directory of their own, and gone as a
// group when the step is.
package child

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	grace    = 5 * time.Second // between SIGTERM and SIGKILL
	maxLine  = 4 << 10
	tailSize = 12 // lines that an error shows
)

// Command is a program to run.
type Command struct {
	Path string // absolute, from Find
	Args []string
	Dir  string       // its working directory, home and place for temporary files
	Env  []string     // besides PATH, HOME, TMPDIR and LANG
	Line func(string) // each line that it writes; nil: nobody listens
}

// Find returns the absolute path of a program that is named by its path, or by a
// name that is looked for in PATH.
func Find(name string) (string, error) { return exec.LookPath(name) }

// Run runs the program to its end. When ctx is done its whole process group gets
// SIGTERM, and SIGKILL after a while; then the error is the cause of ctx. When
// the program fails, the error is of kind Unprocessable and shows its last lines.
// Nothing of the group is alive when Run returns. Should this process die, the
// program is killed.
func Run(ctx context.Context, c Command) error {
	cmd := exec.Command(c.Path, c.Args...) //nolint:gosec,noctx // see the package; ctx is watched below
	cmd.Dir = c.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "TMPDIR=" + c.Dir, "LANG=C.UTF-8"}, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, in, err := os.Pipe()
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-CHILD-001", "no pipe can be made", "see the daemon's log")
	}
	cmd.Stdout, cmd.Stderr = in, in
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the death signal is bound to the thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fault.Wrap(errors.Join(err, out.Close(), in.Close()), fault.Unprocessable, "HX-CHILD-002", c.Path+" cannot be run", "check its permissions")
	}
	_ = in.Close() // the child has its own
	t := &tail{line: c.Line}
	var wg sync.WaitGroup
	wg.Go(func() { t.read(out) })
	err = wait(ctx, cmd.Process.Pid, ended)
	killGroup(cmd.Process.Pid, syscall.SIGKILL)    // whoever is left of it
	_ = out.SetReadDeadline(time.Now().Add(grace)) // one that left the group may hold the pipe
	wg.Wait()
	_ = out.Close()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fault.Wrap(err, fault.Unprocessable, "HX-CHILD-003", c.Path+" failed ("+err.Error()+"): "+t.String(), "see what it says")
	}
	return nil
}

func wait(ctx context.Context, pid int, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	killGroup(pid, syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
	}
	killGroup(pid, syscall.SIGKILL)
	return <-ended
}

// killGroup signals the process group; one that is gone is gone.
func killGroup(pid int, s syscall.Signal) { _ = syscall.Kill(-pid, s) }

// tail keeps the last lines.
type tail struct {
	line func(string)
	last []string
}

func (t *tail) read(r io.Reader) {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := b.ReadSlice('\n')
		if s := printable(string(text)); s != "" {
			if t.line != nil {
				t.line(s)
			}
			if t.last = append(t.last, s); len(t.last) > tailSize {
				t.last = t.last[1:]
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// String is what the program said last.
func (t *tail) String() string { return strings.Join(t.last, " | ") }

// printable drops what could do something to a terminal or a log.
func printable(s string) string {
	return strings.TrimSpace(strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s), "?"))
}
