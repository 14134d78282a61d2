package daemon

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/telemetry"
)

// observed is a daemon whose log is kept, on a simulated vCenter.
type observed struct {
	*testing.T
	cfg    Config
	daemon *Daemon
	client *client.Client
	log    *lines
	stop   func()
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with returns the lines that hold a text.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func newObserved(t *testing.T, edit func(*Config)) *observed {
	t.Helper()
	sim, err := vcsim.Start(t.Context(), vcsim.Options{VMs: small})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &observed{T: t, cfg: DefaultConfig(), log: &lines{}}
	o.cfg.Listen, o.cfg.StateDir, o.cfg.Workers, o.cfg.Auth.Disabled = "127.0.0.1:0", t.TempDir(), 2, true
	o.cfg.Output.Roots = []string{t.TempDir()}
	o.cfg.VSphere = VSphereConfig{URL: sim.URL().String(), Username: sim.Username(), Password: secret.New(sim.Password()), Thumbprint: sim.Thumbprint()}
	o.cfg.Webhooks.AllowPrivate = []string{"127.0.0.0/8"}
	if edit != nil {
		edit(&o.cfg)
	}
	o.start()
	t.Cleanup(func() {
		o.stop()
		if t.Failed() {
			for _, line := range o.log.with("") {
				t.Log(strings.TrimSpace(line))
			}
		}
	})
	return o
}

// start runs the daemon; o.stop ends it as SIGTERM does.
func (o *observed) start() {
	o.Helper()
	log, _, err := telemetry.NewLogger(o.log, "debug", "json")
	if err != nil {
		o.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if o.daemon, err = New(ctx, o.cfg, log); err != nil {
		cancel()
		o.Fatal(err)
	}
	if o.client, err = client.New(o.daemon.URL(), client.Options{}); err != nil {
		o.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- o.daemon.Run(ctx) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			o.Error(err)
		}
	})
}

// ask makes a request of the API, or of any other address of the daemon.
func (o *observed) ask(method, url, body string, header ...string) (status int, answer string) {
	o.Helper()
	if strings.HasPrefix(url, "/") {
		url = o.daemon.URL() + url
	}
	r, err := http.NewRequestWithContext(o.Context(), method, url, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		o.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		o.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// end waits for the end of a job.
func (o *observed) end(id string, want client.State) client.Job {
	o.Helper()
	var j client.Job
	o.eventually("the job ends", func() bool {
		var err error
		j, err = o.client.Get(o.Context(), id)
		return err == nil && j.Status.Final()
	})
	if j.Status != want {
		o.Fatalf("%s: %+v", j.Status, j.Error)
	}
	return j
}

func (o *observed) submit(text string) string {
	o.Helper()
	s, err := o.client.SubmitFile(o.Context(), []byte(text), "application/yaml")
	if err != nil {
		o.Fatal(err)
	}
	return s.JobIDs[0]
}

func (o *observed) eventually(what string, ok func() bool) {
	o.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			o.Fatal("never: " + what)
		}
	}
}

// spawn runs a program until the end of the test, and waits until it listens. Its
// standard output goes to out.
func spawn(t *testing.T, out io.Writer, address, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	said := &lines{}
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-gone:
			t.Fatalf("%s ended: %s", program, said.with(""))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %s", program, said.with(""))
		}
	}
}

// unused returns a loopback address that nobody listens on.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
