package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/hypersdk/hypersdk/client"
)

// daemon is one real hypervisord.
type daemon struct {
	cmd  *exec.Cmd
	addr string
	key  string
	api  *client.Client
	log  bytes.Buffer

	channel *grpc.ClientConn // of all gRPC clients that share one
	web     *http.Client     // of all REST clients that do
}

// guard is what stands around a call.
type guard struct {
	name      string
	config    string // YAML
	collector string // of traces; "": none
	trace     bool
}

var (
	bare    = guard{name: "bare"}
	nothing = guard{name: "without", config: "auth: {disabled: true}\nsecurity: {rate_limit: {enabled: false}}\n"}
	// The limit is looked at, and never reached.
	everything = guard{name: "with", config: "security: {rate_limit: {requests_per_minute: 10000000, burst: 10000000}}\n", trace: true}
)

// start starts a daemon that runs no jobs but keeps them, and waits until it answers.
func (b *bench) start(ctx context.Context, dir string, g guard) (*daemon, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &daemon{}
	var err error
	if d.addr, err = free(); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("listen: %s\nstate_dir: %s\nworkers: 1\nprofiles_dir: %s\noutput: {roots: [%s]}\nlog: {level: info}\n"+
		"vsphere: {url: \"https://127.0.0.1:1/sdk\", username: u}\n%s", d.addr, filepath.Join(dir, "state"), dir, filepath.Join(dir, "out"), g.config)
	if !strings.Contains(g.config, "auth:") {
		config += "auth: {key_file: " + filepath.Join(dir, "api.key") + "}\n"
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	d.cmd = exec.CommandContext(ctx, b.bin, "serve", "--config", path)
	d.cmd.Env = append(os.Environ(), "GOVC_PASSWORD=p")
	if g.trace && g.collector != "" {
		d.cmd.Env = append(d.cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+g.collector, "OTEL_LOGS_EXPORTER=none")
	}
	d.cmd.Stderr = io.Discard // a line for each request
	d.cmd.Stdout = &d.log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	if err := d.ready(ctx); err != nil {
		d.stop()
		return nil, err
	}
	if key, err := os.ReadFile(filepath.Join(dir, "api.key")); err == nil {
		d.key = strings.TrimSpace(string(key))
	}
	d.api, err = client.New("http://"+d.addr, client.Options{APIKey: d.key})
	return d, err
}

func (d *daemon) ready(ctx context.Context) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.addr+"/livez", http.NoBody)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			return res.Body.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the daemon does not answer:\n%s", d.log.String())
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait() // killed by the end of ctx, or ended: either is the end
}

// spec is the job that is submitted: it waits for its time, so that no worker takes
// it.
func spec() client.Spec {
	later := time.Now().Add(24 * time.Hour).UTC()
	return client.Spec{VMPath: "/DC/vm/web-01", Format: "qcow2", OutputPath: "out", NotBefore: &later, Labels: map[string]string{"team": "storage"}}
}

func (d *daemon) seed(ctx context.Context, n int) ([]string, error) {
	specs := make([]client.Spec, n)
	for i := range specs {
		specs[i] = spec()
	}
	got, err := d.api.Submit(ctx, specs...)
	return got.JobIDs, err
}

func free() (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// collector takes traces and throws them away.
type collector struct {
	url    string
	server *http.Server
	posts  atomic.Int64
}

func collect() (*collector, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &collector{url: "http://" + l.Addr().String()}
	c.server = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what does not arrive is not counted
		c.posts.Add(1)
	})}
	go func() { _ = c.server.Serve(l) }() // until stop
	return c, nil
}

func (c *collector) stop()        { _ = c.server.Close() }
func (c *collector) spans() int64 { return c.posts.Load() }
