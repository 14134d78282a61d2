package daemon

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestConnectionsAreBounded: the keys of the configuration hold at the port, and the
// metrics tell.
func TestConnectionsAreBounded(t *testing.T) {
	o := newObserved(t, func(c *Config) { c.Security.Connections = ConnectionsConfig{Max: 8, MaxPerClient: 3, MaxStreams: 7} })
	if n := o.daemon.server.HTTP2.MaxConcurrentStreams; n != 7 {
		t.Errorf("%d streams", n)
	}
	for range 5 {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.5.0.1")}}).DialContext(t.Context(), "tcp", o.daemon.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	text := ""
	for end := time.Now().Add(time.Minute); !strings.Contains(text, `hypervisord_connections_refused_total{reason="client"} 2`); {
		if time.Now().After(end) {
			t.Fatal(text)
		}
		if _, text = o.ask(http.MethodGet, "/metrics", ""); !strings.Contains(text, "\nhypervisord_connections ") {
			t.Fatal(text)
		}
	}
}

// TestConnectionsLeaveFiles: a process with few files takes fewer connections.
func TestConnectionsLeaveFiles(t *testing.T) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s := defaultSecurity()
	s.Connections.Max = int(min(l.Cur, 1<<30))
	s.connections(t.Context(), slog.New(slog.NewTextHandler(&said, nil)))
	if l.Cur != unix.RLIM_INFINITY && !strings.Contains(said.String(), "LimitNOFILE") {
		t.Errorf("%d files: %s", l.Cur, said.String())
	}
}

func TestConnectionConfig(t *testing.T) {
	for text, wrong := range map[string]string{
		"{max: 10, max_per_client: 10}": "", "{max: 0}": "connections.max:", "{max: 10}": "max_per_client", "{max_per_client: 0}": "max_per_client",
		"{max_streams: 0}": "max_streams", "{max_streams: 1001}": "max_streams",
	} {
		_, err := Load(write(t, "security: {connections: "+text+"}\n"), none, nil)
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Load(write(t, "security: {probe_networks: [10.0.0.1]}\n"), none, nil); err == nil || !strings.Contains(err.Error(), "probe_networks") {
		t.Error(err)
	}
}

// TestStrangersAreLimited: by the keys of the configuration, but not who probes; the
// metrics tell.
func TestStrangersAreLimited(t *testing.T) {
	o := newObserved(t, func(c *Config) {
		c.Security.Anonymous = AnonymousConfig{Enabled: true, RequestsPerMinute: 1, Burst: 2}
		c.Security.ProbeNetworks = []string{"127.0.0.1/32"}
	})
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.5.0.2")}}
	client := &http.Client{Transport: &http.Transport{DialContext: from.DialContext}}
	defer client.CloseIdleConnections()
	var got []int
	for _, path := range []string{"/health", "/docs/", "/docs/graphql", "/grpc.health.v1.Health/Check"} {
		method := http.MethodGet
		if strings.HasPrefix(path, "/grpc") {
			method = http.MethodPost
		}
		r, err := http.NewRequestWithContext(t.Context(), method, o.daemon.URL()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		got = append(got, res.StatusCode)
	}
	if !slices.Equal(got, []int{200, 200, 429, 429}) {
		t.Errorf("answers: %v", got)
	}
	for range 5 {
		if status, _ := o.ask(http.MethodGet, "/livez", ""); status != http.StatusOK {
			t.Errorf("a probe gets %d", status)
		}
	}
	_, text := o.ask(http.MethodGet, "/metrics", "")
	for _, want := range []string{
		`hypervisord_limiter_requests_total{limit="anonymous",outcome="refused"} 2`, `hypervisord_limiter_buckets{limit="anonymous"} 1`,
		`hypervisord_limiter_requests_total{limit="principal",outcome="refused"} 0`, `hypervisord_limiter_requests_total{limit="credentials",outcome="refused"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
