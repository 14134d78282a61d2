package auditsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// SyslogOptions say where messages go.
type SyslogOptions struct {
	Address  string // tls://HOST:6514, tcp://HOST:601, udp://HOST:514, unix:///dev/log
	Form     string // FormJSON, FormStructured
	Facility int    // 13: log audit
	TLS      *tls.Config
}

const (
	maxDatagram = 8192 // bytes: what receivers take by default
	dialTime    = 10 * time.Second
	takenTime   = 10 * time.Second // for a receiver to say that it has read everything
)

// Syslog sends entries as RFC 5424 says: over TCP and TLS with octet counting
// (RFC 6587, 5425), as datagrams over UDP and to a unix socket.
//
// Syslog has no acknowledgement. Over a stream each batch has a connection of its
// own, whose end the receiver has to confirm by closing it, too: then it has read
// everything. Over UDP nobody knows what arrives.
type Syslog struct {
	o       SyslogOptions
	network string
	address string
	header  header
}

// NewSyslog makes a Syslog. It does not connect yet. Kind Invalid.
func NewSyslog(o SyslogOptions) (*Syslog, error) {
	u, err := url.Parse(o.Address)
	wrong := fault.New(fault.Invalid, "HX-AUDIT-022", "an address of syslog is not of the form tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH", "correct it")
	if err != nil || u.User != nil {
		return nil, wrong
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	s := &Syslog{o: o, network: u.Scheme, address: u.Host, header: header{facility: o.Facility, host: host, pid: os.Getpid(), form: o.Form}}
	switch u.Scheme {
	case "unix":
		s.address, s.header.limit = u.Path, maxDatagram
		if u.Host != "" || u.Path == "" {
			return nil, wrong
		}
		return s, nil
	case "udp":
		s.header.limit = maxDatagram
	case "tcp", "tls":
	default:
		return nil, wrong
	}
	if name, port, err := net.SplitHostPort(u.Host); err != nil || name == "" || port == "" || u.Path != "" {
		return nil, wrong
	}
	return s, nil
}

// Close implements Sink.
func (*Syslog) Close() error { return nil }

// Deliver implements Sink.
func (s *Syslog) Deliver(ctx context.Context, b *Batch) error {
	stream := s.network == "tcp" || s.network == "tls"
	var messages [][]byte
	for i := range b.Lines {
		e, ok := b.Lines[i].Entry()
		if !ok {
			continue // retention removed it
		}
		m, err := s.header.message(e, b.Lines[i].Hash)
		if err != nil {
			return fmt.Errorf("encode entry %d: %w", e.Pos, err)
		}
		if stream {
			m = append(strconv.AppendInt(nil, int64(len(m)), 10), append([]byte{' '}, m...)...)
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return nil
	}
	if err := s.send(ctx, messages, stream); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fault.Wrap(err, fault.Unavailable, "HX-AUDIT-023", "the syslog server "+s.o.Address+" did not take the log: "+plain(err), "check the address and the server")
	}
	return nil
}

// plain is what an error of the network says without addresses of ours.
func plain(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, errNotTaken):
		return errNotTaken.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it took too long"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

func (s *Syslog) send(ctx context.Context, messages [][]byte, stream bool) (err error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if !stream {
		for _, m := range messages {
			if _, err := conn.Write(m); err != nil {
				return err
			}
		}
		return nil
	}
	buffers := net.Buffers(messages)
	if _, err := buffers.WriteTo(conn); err != nil {
		return err
	}
	return taken(conn)
}

func (s *Syslog) dial(ctx context.Context) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTime}
	switch s.network {
	case "tls":
		return (&tls.Dialer{NetDialer: d, Config: s.o.TLS}).DialContext(ctx, "tcp", s.address)
	case "unix":
		return d.DialContext(ctx, "unixgram", s.address)
	}
	return d.DialContext(ctx, s.network, s.address)
}

var errNotTaken = errors.New("it does not say that it has read everything")

// taken ends our side of a connection and waits until the other side has read all
// of it, which it says by ending its own.
func taken(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(takenTime)); err != nil {
		return err
	}
	if c, ok := conn.(*tls.Conn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		conn = c.NetConn()
	}
	if c, ok := conn.(*net.TCPConn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	// What it sends is no part of the protocol: of TLS the end of its side.
	_, err := io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errNotTaken
	}
	return err
}
