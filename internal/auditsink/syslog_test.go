package auditsink_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// authority is a CA with one certificate for 127.0.0.1, which serves both sides.
type authority struct {
	ca, cert, key string
	pool          *x509.CertPool
	pair          tls.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	dir := t.TempDir()
	issue := func(serial int64, ca bool, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("test ", serial)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if parent == nil {
			parent, signer = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		must(t, err)
		c, err = x509.ParseCertificate(der)
		must(t, err)
		return c, key
	}
	ca, signer := issue(1, true, nil, nil)
	cert, key := issue(2, false, ca, signer)
	der, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	a := authority{pool: x509.NewCertPool(), pair: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
	a.pool.AddCert(ca)
	a.ca = put(t, filepath.Join(dir, "ca.pem"), "%s", encode("CERTIFICATE", ca.Raw))
	a.cert = put(t, filepath.Join(dir, "cert.pem"), "%s", encode("CERTIFICATE", cert.Raw))
	a.key = put(t, filepath.Join(dir, "key.pem"), "%s", encode("EC PRIVATE KEY", der))
	return a
}

func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// syslogd is a running rsyslog.
type syslogd struct {
	t                  *testing.T
	out                string
	tcp, tls, udp, unx string
}

// parsed is a message as rsyslog understood it.
type parsed struct {
	Pri  string `json:"pri"`
	Time string `json:"time"`
	Host string `json:"host"`
	App  string `json:"app"`
	Proc string `json:"proc"`
	ID   string `json:"id"`
	Data string `json:"data"`
	Msg  string `json:"msg"`
}

// newSyslogd starts one that takes all that we can send. TLS wants a client
// certificate.
func newSyslogd(t *testing.T, a authority) *syslogd {
	t.Helper()
	dir, err := os.MkdirTemp("", "rsyslog") // a path of a socket is short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &syslogd{t: t, out: filepath.Join(dir, "out"), unx: filepath.Join(dir, "log")}
	s.tcp, s.tls, s.udp = unused(t), unused(t), unused(t)
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	var properties strings.Builder
	for name, property := range map[string]string{"pri": "pri", "host": "hostname", "app": "app-name", "proc": "procid", "id": "msgid", "data": "structured-data", "msg": "msg"} {
		fmt.Fprintf(&properties, "property(outname=%q name=%q format=\"jsonf\")\n", name, property)
	}
	config := put(t, filepath.Join(dir, "conf"), `
global(workDirectory=%q maxMessageSize="64k" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile=%q
       defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q
       parser.escapeControlCharactersOnReceive="off" privdrop.user.name="root")
module(load="imptcp") module(load="imudp") module(load="imuxsock" sysSock.use="off")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="t" type="list" option.jsonf="on") {
%s property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf") }
ruleset(name="r") { action(type="omfile" file=%q template="t") }
input(type="imptcp" address="127.0.0.1" port=%q ruleset="r")
input(type="imtcp" address="127.0.0.1" port=%q ruleset="r")
input(type="imudp" address="127.0.0.1" port=%q ruleset="r")
input(type="imuxsock" socket=%q useSpecialParser="off" parseHostname="on" useSysTimeStamp="off" ignoreTimestamp="off" ruleset="r")
`, dir, a.ca, a.cert, a.key, properties.String(), s.out, port(s.tcp), port(s.tls), port(s.udp), s.unx)
	listens := func() bool {
		for _, at := range [][2]string{{"tcp", s.tcp}, {"tcp", s.tls}, {"unixgram", s.unx}} {
			c, err := net.Dial(at[0], at[1])
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	}
	spawn(t, &output{}, listens, "rsyslogd", "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	return s
}

// took waits for n messages, and empties what it has.
func (s *syslogd) took(n int) (all []parsed) {
	s.t.Helper()
	var text []byte
	eventually(s.t, fmt.Sprint(n, " messages"), func() bool {
		text, _ = os.ReadFile(s.out)
		return strings.Count(string(text), "\n") >= n
	})
	must(s.t, os.Truncate(s.out, 0))
	for line := range strings.Lines(string(text)) {
		var p parsed
		must(s.t, json.Unmarshal([]byte(line), &p))
		all = append(all, p)
	}
	if len(all) != n {
		s.t.Errorf("%d messages, want %d: %s", len(all), n, text)
	}
	return all
}

// TestSyslogByRsyslog: other people's server understands what we send, in each form
// and over each transport; no value of an entry breaks out of its place.
func TestSyslogByRsyslog(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	d := newSyslogd(t, a)
	all, _ := lines(t, 4)
	all[3].Leaf = "" // removed by retention
	secure := &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.pair}, MinVersion: tls.VersionTLS12}
	for _, address := range []string{"tcp://" + d.tcp, "tls://" + d.tls, "udp://" + d.udp, "unix://" + d.unx} {
		for _, form := range []string{auditsink.FormJSON, auditsink.FormStructured} {
			s, err := auditsink.NewSyslog(auditsink.SyslogOptions{Address: address, Form: form, Facility: 13, TLS: secure})
			must(t, err)
			must(t, s.Deliver(t.Context(), batch(all)))
			must(t, s.Close())
			got := d.took(3)
			for i, p := range got {
				e, _ := all[i].Entry()
				want := map[bool]string{true: "108", false: "109"}[e.Result != "success"] // 13*8+4, +5
				if p.Pri != want || p.App != "hypervisord" || p.ID != e.Event || !strings.HasPrefix(p.Time, "2026-09-21T14:13:20.00"+fmt.Sprint(i)) {
					t.Errorf("%s %s: %+v", address, form, p)
				}
				if form == auditsink.FormJSON {
					wantJSON(t, p, e, all[i].Hash)
				} else {
					wantStructured(t, p, e)
				}
			}
		}
	}
}

func wantJSON(t *testing.T, p parsed, e audit.Entry, hash audit.Hash) {
	t.Helper()
	var got struct {
		audit.Entry
		Hash audit.Hash `json:"hash"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(p.Msg, " ")), &got); err != nil || p.Data != "-" {
		t.Fatalf("%v: %+v", err, p)
	}
	if have, want := show(t, got.Entry), show(t, e); have != want || got.Hash != hash {
		t.Errorf("%s\nwant %s", have, want)
	}
}

func show(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return string(text)
}

func wantStructured(t *testing.T, p parsed, e audit.Entry) {
	t.Helper()
	if !strings.HasPrefix(p.Data, `[hypervisord@32473 pos="`+fmt.Sprint(e.Pos)+`" `) || !strings.HasSuffix(p.Data, `"]`) || strings.ContainsAny(p.Data, "\n\r\x00\x1b") ||
		!strings.Contains(p.Data, `event="`+e.Event+`"`) || !strings.Contains(p.Data, `result="`+e.Result+`"`) || !strings.Contains(p.Msg, e.Event+": "+e.Result) {
		t.Errorf("%+v", p)
	}
	if e.Actor.ID != "key:ci" && !strings.Contains(p.Data, `actor="a\"\]\\ b <13>1 - - - - - - forged   [31m é😀 %s"`) {
		t.Errorf("%s", p.Data)
	}
}

// TestSyslogIsTaken: a batch counts only if the receiver has read all of it. One that
// breaks off, refuses our certificate, or never says that it is done did not.
func TestSyslogIsTaken(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	all, _ := lines(t, 200)
	for name, c := range map[string]struct {
		serve func(net.Conn)
		tls   bool
		want  bool
	}{
		"reads all":     {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, false, true},
		"reads all TLS": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, true, true},
		"reads little":  {func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 10)) }, false, false},
		"reads nothing": {func(net.Conn) {}, false, false},
		"breaks off TLS": {func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 10))
			_ = c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
			_ = c.(*tls.Conn).NetConn().Close()
		}, true, false},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		address := "tcp://" + l.Addr().String()
		if c.tls {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{a.pair}, MinVersion: tls.VersionTLS12})
			address = "tls://" + l.Addr().String()
		}
		go func() {
			if conn, err := l.Accept(); err == nil {
				c.serve(conn)
				_ = conn.Close()
			}
		}()
		s, err := auditsink.NewSyslog(auditsink.SyslogOptions{Address: address, Form: auditsink.FormJSON, Facility: 13, TLS: &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}})
		must(t, err)
		if err := s.Deliver(t.Context(), batch(all)); (err == nil) != c.want || err != nil && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, l.Close())
	}
}

// TestSyslogIsGivenUp: who reads and never closes has not confirmed; the batch's time
// ends the wait.
func TestSyslogIsGivenUp(t *testing.T) {
	t.Parallel()
	all, _ := lines(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	var conn net.Conn
	accepted := make(chan struct{})
	go func() {
		conn, _ = l.Accept()
		close(accepted)
	}()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		_, _ = io.ReadAll(conn)
		cancel()
	}()
	s, err := auditsink.NewSyslog(auditsink.SyslogOptions{Address: "tcp://" + l.Addr().String(), Form: auditsink.FormJSON})
	must(t, err)
	if err := s.Deliver(ctx, batch(all)); err == nil {
		t.Error("it is taken")
	}
	<-accepted
	must(t, conn.Close())
}

// TestSyslogCutsDatagrams: an entry that is longer than a datagram may be comes
// without its metadata, and says so.
func TestSyslogCutsDatagrams(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer c.Close()
	r := audit.Record{Pos: 1, Kind: "job.failed", Actor: "node:a", Data: `{"status":"failed","attempt":1,"reason":"` + strings.Repeat("x", 20_000) + `"}`}
	s, err := auditsink.NewSyslog(auditsink.SyslogOptions{Address: "udp://" + c.LocalAddr().String(), Form: auditsink.FormJSON, Facility: 13})
	must(t, err)
	must(t, s.Deliver(t.Context(), batch([]audit.Line{{Pos: 1, Hash: r.Hash(), Leaf: string(r.Leaf())}})))
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	buf := make([]byte, 64<<10)
	n, _, err := c.ReadFrom(buf)
	must(t, err)
	if text := string(buf[:n]); n > 8192 || !strings.Contains(text, `"metadata":{"truncated":true}`) || !strings.Contains(text, `"event":"job.failed"`) {
		t.Errorf("%d bytes: %s", n, text)
	}
}

func TestSyslogAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"tls://h:6514": true, "tcp://[::1]:601": true, "udp://h:514": true, "unix:///dev/log": true,
		"h:514": false, "http://h:1": false, "tcp://h": false, "tcp://:1": false, "tcp://u:hunter2@h:1": false, "unix://h/dev/log": false, "unix:": false, "tcp://h:1/x": false, "": false,
	} {
		_, err := auditsink.NewSyslog(auditsink.SyslogOptions{Address: address})
		if (err == nil) != want || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
