package rest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// coalescedPair returns a connection as the server has it and its peer, and counts
// the system calls that would be: the writes that reach the socket.
func coalescedPair(t *testing.T, each time.Duration) (c *coalesced, peer net.Conn, writes *counting) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	counter := &countingListener{Listener: l}
	conn, err := Coalesce(counter).Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, _ = conn.(*coalesced)
	c.each = each
	t.Cleanup(func() { _ = c.Close() })
	return c, peer, counter.last
}

type countingListener struct {
	net.Listener
	last *counting
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	l.last = &counting{Conn: conn, gate: make(chan struct{}, 1)}
	l.last.gate <- struct{}{}
	return l.last, err
}

// counting is a connection whose writes are counted, and can be held up.
type counting struct {
	net.Conn

	gate chan struct{} // a write takes it and gives it back
	mu   sync.Mutex
	n    int
}

func (c *counting) Write(p []byte) (int, error) {
	<-c.gate
	defer func() { c.gate <- struct{}{} }()
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// TestCoalesced: what is written while the socket is busy goes out in one piece, in
// order.
func TestCoalesced(t *testing.T) {
	c, peer, writes := coalescedPair(t, time.Minute)
	<-writes.gate // the socket is busy
	var want []byte
	for i := range 100 {
		p := []byte{0, byte(i), 2}
		want = append(want, p...)
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	writes.gate <- struct{}{}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the peer got %v", got)
	}
	if n := writes.count(); n > 2 {
		t.Errorf("100 writes were %d, want 2 at most", n)
	}
}

// TestCoalescedBound: a peer that reads nothing holds up the writer at the bound, and
// the connection ends when its time is over.
func TestCoalescedBound(t *testing.T) {
	c, _, _ := coalescedPair(t, 20*time.Millisecond)
	frame := make([]byte, 16<<10)
	for {
		if _, err := c.Write(frame); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the writer was told %v", err)
			}
			break
		}
		c.mu.Lock()
		kept := len(c.waiting)
		c.mu.Unlock()
		if kept > maxBehind+len(frame) {
			t.Fatalf("%d bytes wait", kept)
		}
	}
	if _, err := c.Read(frame); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a reader was told %v", err)
	}
}

// TestCoalescedClose: Close sends what waits, and does not wait for a peer that takes
// nothing.
func TestCoalescedClose(t *testing.T) {
	c, peer, writes := coalescedPair(t, time.Hour)
	c.last = time.Hour
	<-writes.gate
	if _, err := c.Write([]byte("\x00last words")); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	writes.gate <- struct{}{}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(peer); string(got) != "\x00last words" || err != nil {
		t.Errorf("the peer got %q, %v", got, err)
	}
	if _, err := c.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}

	c, _, _ = coalescedPair(t, time.Hour)
	wrote := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Write(make([]byte, 16<<10)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	for { // until the writer is held up
		c.mu.Lock()
		full := len(c.waiting) >= maxBehind
		c.mu.Unlock()
		if full {
			break
		}
		select {
		case err := <-wrote:
			t.Fatal(err)
		default:
			runtime.Gosched()
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-wrote; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer was told %v", err)
	}
}

// TestCoalescedHTTP1: an answer of HTTP/1 is written at once, and its errors are the
// writer's.
func TestCoalescedHTTP1(t *testing.T) {
	c, peer, writes := coalescedPair(t, time.Minute)
	if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\n")); err != nil {
		t.Fatal(err)
	}
	if n := writes.count(); n != 1 {
		t.Errorf("%d writes when Write had returned", n)
	}
	if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("\x00 a body")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CloseWrite of a connection without: %v", err)
	}
	_ = peer
}
