//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/api/conform"
)

// daemon is one process of hypervisord.
type daemon struct {
	*client.Client
	house  *house
	cmd    *exec.Cmd
	url    string
	ready  chan string   // its URL
	exited chan struct{} // closed when it was waited for
	err    error         // of Wait, after exited
}

// start runs a daemon and waits until it takes requests. wrap is a command to
// run it under.
func (h *house) start(wrap ...string) *daemon {
	h.Helper()
	d := h.launch(wrap...)
	select {
	case d.url = <-d.ready:
	case <-d.exited:
		h.Fatalf("the daemon ended at once: %v", d.err)
	}
	d.connect()
	return d
}

// connect makes the client.
func (d *daemon) connect() {
	d.house.Helper()
	c, err := client.New(d.url, client.Options{APIKey: d.house.key(), HTTPClient: &http.Client{Transport: d.judged()}})
	if err != nil {
		d.house.Fatal(err)
	}
	d.Client = c
}

// documented is the OpenAPI document of the daemons: they are one program.
var documented atomic.Pointer[conform.Document]

// judged is a transport that compares all that the daemon answers with the
// document.
func (d *daemon) judged() http.RoundTripper {
	d.house.Helper()
	next := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	d.house.Cleanup(next.CloseIdleConnections)
	document := documented.Load()
	if document == nil {
		var err error
		if document, err = conform.Fetch(d.house.Context(), &http.Client{Transport: next}, d.url); err != nil {
			select {
			case <-d.exited: // it was killed
				return next
			default:
				d.house.Fatal(err)
			}
		}
		documented.Store(document)
	}
	return &conform.Transport{Document: document, Next: next, Report: d.house.Errorf}
}

// launch runs a daemon and does not wait for anything.
func (h *house) launch(wrap ...string) *daemon {
	h.Helper()
	h.settle()
	args := slices.Concat(wrap, []string{program("hypervisord"), "serve", "--config", h.config})
	d := &daemon{house: h, cmd: exec.Command(args[0], args[1:]...), ready: make(chan string, 1), exited: make(chan struct{})}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	d.cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "GOVC_") || strings.HasPrefix(e, "HYPERVISORD_")
	})
	errOut, err := d.cmd.StderrPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		h.Fatal(err)
	}
	go func() {
		defer close(d.exited)
		d.read(errOut)
		d.err = d.cmd.Wait()
	}()
	h.Cleanup(d.kill)
	return d
}

// read follows the log to its end.
func (d *daemon) read(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.house.journal.add(lines.Text())
		var line struct {
			Msg string `json:"msg"`
			URL string `json:"url"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			d.ready <- line.URL
		}
	}
}

// kill ends the process, and what it runs under, as a power cut would: with no
// chance to say anything. It may be called again.
func (d *daemon) kill() {
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) // it may be dead already
	<-d.exited
}

// stop ends the process as an operator does.
func (d *daemon) stop() {
	d.house.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.house.Error(err)
	}
	<-d.exited
	if d.err != nil {
		d.house.Errorf("the daemon did not stop in order: %v", d.err)
	}
}

// journal keeps the log lines of all daemons of a house, and shows the end of
// them when the test fails.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func newJournal(t *testing.T) *journal {
	j := new(journal)
	t.Cleanup(func() {
		if t.Failed() {
			lines := j.grep("")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `"msg":"request"`) })
			t.Logf("the daemon's last words:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return j
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// grep returns the lines that hold a text.
func (j *journal) grep(text string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// count tells how many lines hold a text.
func (j *journal) count(text string) int { return len(j.grep(text)) }
