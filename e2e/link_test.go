//go:build e2e

package e2e

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// link is the network between a daemon and its database. While it is cut nothing
// goes through and nobody is told, as in a partition.
type link struct {
	url string // of the database, through the link

	mu   sync.Mutex
	open chan struct{} // closed: data goes through
}

// newLink makes a link that is entered at the host.
func newLink(t *testing.T, database, host string) *link {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	u.Host = l.Addr().String()
	k := &link{url: u.String(), open: make(chan struct{})}
	close(k.open)
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener; the rest with the daemons
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go k.join(in, server)
		}
	}()
	return k
}

func (k *link) join(in net.Conn, server string) {
	out, err := net.Dial("tcp", server)
	if err != nil {
		_ = in.Close() // the database is down
		return
	}
	go k.pass(in, out)
	k.pass(out, in)
}

// pass carries one direction, and waits while the link is cut.
func (k *link) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		<-k.gate()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (k *link) gate() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open
}

func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = make(chan struct{})
}

func (k *link) heal() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.open)
}
