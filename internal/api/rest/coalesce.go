package rest

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// Coalesce returns the listener, whose connections of HTTP/2 with prior knowledge
// send together what is written at the same time. net/http flushes each frame by
// itself: an answer of gRPC is headers, data and trailers, three system calls and
// three packets, and another stream's frames are three more.
//
// A Write returns when the bytes are kept, or waits for room. An error shows
// in a later Write, and closes the connection, so that readers see it, too. Over TLS,
// and for HTTP/1, which writes an answer in one piece, nothing changes.
func Coalesce(l net.Listener) net.Listener { return &coalescing{l} }

const (
	maxBehind = 32 << 10              // bytes that wait for those that are being sent; one Write more is the bound of both
	lastCall  = 10 * time.Millisecond // a socket that has room takes all at once
)

type coalescing struct{ net.Listener }

// Accept waits for the next connection.
func (l *coalescing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &coalesced{Conn: conn, each: writeByte, last: lastCall}
	c.moved.L = &c.mu
	return c, nil
}

// coalesced is a connection. One goroutine at most writes what waits.
type coalesced struct {
	net.Conn

	each time.Duration // for the peer to take at least one byte
	last time.Duration // for all that waits when the connection is closed

	mu      sync.Mutex
	moved   sync.Cond // there is room, or there never will be
	begun   bool      // the first Write was seen, so that behind holds
	behind  bool
	waiting []byte
	sending bool // a goroutine does
	closed  bool
	err     error
}

// buffers are those of connections that have something to send.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Write sends p, or keeps a copy for the goroutine that sends.
func (c *coalesced) Write(p []byte) (int, error) {
	c.mu.Lock()
	if !c.begun && len(p) > 0 {
		c.begun = true
		c.behind = p[0] == 0 // a frame (RFC 9113, section 4.1) has its length first, in three bytes; SETTINGS is short
	}
	if !c.behind {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	defer c.mu.Unlock()
	for len(c.waiting) >= maxBehind && c.err == nil && !c.closed {
		c.moved.Wait()
	}
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.err != nil:
		return 0, c.err
	}
	c.waiting = append(c.waiting, p...)
	if !c.sending {
		c.sending = true
		go c.send()
	}
	return len(p), nil
}

// send writes until nothing waits.
func (c *coalesced) send() {
	spare, _ := buffers.Get().(*[]byte)
	runtime.Gosched() // others may be about to write
	c.mu.Lock()
	for len(c.waiting) > 0 && c.err == nil {
		batch := c.waiting
		c.waiting = (*spare)[:0]
		c.moved.Broadcast() // there is room
		c.mu.Unlock()
		err := c.deliver(batch)
		*spare = batch
		c.mu.Lock()
		c.err = err
	}
	if failed := c.err != nil && !c.closed; failed {
		_ = c.Conn.Close() // c.err tells why
	}
	c.sending = false
	c.moved.Broadcast()
	c.mu.Unlock()
	buffers.Put(spare)
}

// deliver writes all of p, as long as the peer takes some of it.
func (c *coalesced) deliver(p []byte) error {
	for {
		if err := c.setDeadline(); err != nil {
			return err
		}
		n, err := c.Conn.Write(p)
		p = p[n:]
		if len(p) == 0 || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// setDeadline gives the next write its time. After Close that is over, or has its own.
func (c *coalesced) setDeadline() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	return c.Conn.SetWriteDeadline(time.Now().Add(c.each))
}

// SetWriteDeadline is for who waits in Write. Nobody does so for longer than the
// peer takes nothing.
func (c *coalesced) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behind {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets that of reads and of writes.
func (c *coalesced) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close sends what the peer takes without waiting, and closes the connection.
func (c *coalesced) Close() error {
	c.mu.Lock()
	if c.sending && !c.closed {
		c.closed = true
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.last)) // the sender sees the end
		for c.sending {
			c.moved.Wait()
		}
	}
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite tells the peer that nothing more comes.
func (c *coalesced) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
