//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// everywhere takes the audit log by each kind of sink, and the daemon's own log by
// OTLP.
type everywhere struct {
	*sower
	dir    string // of files, and of the objects of an S3 server
	taken  sync.Mutex
	syslog bytes.Buffer
	otlp   bytes.Buffer
}

// everywhere starts the servers and configures the sinks, with secrets where they
// take some.
func (s *sower) everywhere(h *house) *everywhere {
	s.Helper()
	e := &everywhere{sower: s, dir: s.TempDir()}
	collector := httptest.NewServer(http.HandlerFunc(e.collect))
	s.Cleanup(collector.Close)
	token := s.seed("the token of a collector")
	headers := filepath.Join(s.TempDir(), "headers")
	write(s.T, headers, "Authorization=Bearer%20"+token+"\n")
	s.Setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", collector.URL+"/own/logs")
	s.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Token="+token)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = l.Close() })
	go e.listen(l)

	access, secret := filepath.Join(s.TempDir(), "access"), filepath.Join(s.TempDir(), "secret")
	key := s.seed("the secret key of an audit bucket")
	write(s.T, access, "key\n")
	write(s.T, secret, key+"\n")
	address := e.objects(key)
	h.extra += fmt.Sprintf(`audit:
  sinks:
    - {name: f, file: {path: %q}}
    - {name: tcp, syslog: {address: "tcp://%s"}}
    - {name: data, syslog: {address: "tcp://%s", format: structured}}
    - {name: o, otlp: {endpoint: %q, headers_file: %q}}
    - {name: s, s3: {destination: "s3://audit/log", every: 1s, endpoint: "http://%s", region: us-east-1, path_style: true, access_key_file: %q, secret_key_file: %q}}
`, filepath.Join(e.dir, "file", "audit.jsonl"), l.Addr(), l.Addr(), collector.URL+"/audit/logs", headers, address, access, secret)
	return e
}

// objects starts an S3 server with the bucket audit, whose secret key is in no
// command line.
func (e *everywhere) objects(key string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.Fatal(err)
	}
	address = l.Addr().String()
	_ = l.Close()
	if err := os.MkdirAll(filepath.Join(e.dir, "s3", "audit"), 0o755); err != nil {
		e.Fatal(err)
	}
	cmd := exec.Command("versitygw", "--port", address, "--quiet", "posix", filepath.Join(e.dir, "s3"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY="+key)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		e.Fatalf("%v: run `make e2e`, which installs it, or put .cache/tools into PATH", err)
	}
	e.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(e.T, "the S3 server to listen", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return address
}

// collect takes what comes by OTLP.
func (e *everywhere) collect(_ http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(r.Body); err == nil {
			body = z
		}
	}
	text, _ := io.ReadAll(body)
	e.taken.Lock()
	defer e.taken.Unlock()
	e.otlp.WriteString(r.URL.Path)
	e.otlp.Write(text)
	if !strings.Contains(r.Header.Get("Authorization")+r.Header.Get("X-Token"), mark) {
		e.Errorf("%s came without its token", r.URL.Path)
	}
}

// listen takes what comes by syslog.
func (e *everywhere) listen(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		text, _ := io.ReadAll(c)
		e.taken.Lock()
		e.syslog.Write(text)
		e.taken.Unlock()
		_ = c.Close()
	}
}

// caughtUp waits until all sinks have everything.
func (e *everywhere) caughtUp(d *daemon) {
	e.Helper()
	eventually(e.T, "the sinks to have the log", func() bool {
		all, err := d.AuditSinks(e.Context())
		if err != nil || len(all) != 5 {
			e.Fatal(all, err)
		}
		for _, s := range all {
			if s.LagEntries > 0 {
				return false
			}
		}
		return true
	})
}

// look searches everything that was taken, and wants it to be something.
func (e *everywhere) look() {
	e.Helper()
	e.taken.Lock()
	syslog, otlp := e.syslog.Bytes(), e.otlp.Bytes()
	e.taken.Unlock()
	e.search("syslog", syslog)
	e.search("OTLP", otlp)
	e.searchTree(e.dir)
	objects, _ := filepath.Glob(filepath.Join(e.dir, "s3", "audit", "log", "*.jsonl"))
	file, _ := os.ReadFile(filepath.Join(e.dir, "file", "audit.jsonl"))
	for what, has := range map[string]bool{
		"syslog as JSON": bytes.Contains(syslog, []byte(`"event":"access.denied"`)), "structured syslog": bytes.Contains(syslog, []byte(`event="access.denied"`)),
		"the audit by OTLP": bytes.Contains(otlp, []byte("/audit/logs")) && bytes.Contains(otlp, []byte("access.denied")),
		"the log by OTLP":   bytes.Contains(otlp, []byte("/own/logs")) && bytes.Contains(otlp, []byte("request_id")),
		"the objects":       len(objects) > 0, "the file": bytes.Contains(file, []byte("hmac:")),
	} {
		if !has {
			e.Errorf("%s has nothing to search", what)
		}
	}
}
