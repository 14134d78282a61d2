//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// network is a switch of the kernel that namespaces are plugged into. This
// process is on it, too, under the first address.
type network struct {
	*testing.T
	bridge string
	prefix string // of the addresses, to the last dot
	hosts  int    // this process is the first
}

// newNetwork makes a switch with addresses that are set apart for tests of
// networks (RFC 2544); nothing is forwarded to or from it.
func newNetwork(t *testing.T) *network {
	t.Helper()
	needRoot(t)
	pid := os.Getpid()
	n := &network{T: t, bridge: fmt.Sprint("hxb", pid), prefix: fmt.Sprintf("198.%d.%d.", 18+pid>>8&1, pid&255), hosts: 1}
	n.ip("link", "add", n.bridge, "type", "bridge")
	t.Cleanup(func() { n.ip("link", "del", n.bridge) })
	n.ip("addr", "add", n.address()+"/24", "dev", n.bridge)
	n.ip("link", "set", n.bridge, "up")
	return n
}

// ip runs iproute2.
func (n *network) ip(args ...string) {
	n.Helper()
	// Not under the test's context: clean-ups run it, too.
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.Fatalf("ip %s: %v %s", strings.Join(args, " "), err, out)
	}
}

// address is that of this process.
func (n *network) address() string { return n.prefix + "1" }

// namespace is a machine on a network, as far as the network is concerned: it has
// a loopback of its own and one cable to the switch.
type namespace struct {
	*network
	name, cable string
	file        *os.File
}

func (n *network) namespace() *namespace {
	n.Helper()
	n.hosts++
	s := &namespace{network: n, name: fmt.Sprintf("hx%d-%d", os.Getpid(), n.hosts), cable: fmt.Sprintf("hxv%d-%d", os.Getpid(), n.hosts)}
	n.ip("netns", "add", s.name)
	n.Cleanup(func() { n.ip("netns", "del", s.name) }) // its end of the cable goes with it, and so does the other
	n.ip("link", "add", s.cable, "type", "veth", "peer", "name", "eth0", "netns", s.name)
	n.ip("link", "set", s.cable, "master", n.bridge, "up")
	n.ip("-n", s.name, "addr", "add", fmt.Sprint(n.prefix, n.hosts, "/24"), "dev", "eth0")
	n.ip("-n", s.name, "link", "set", "eth0", "up")
	n.ip("-n", s.name, "link", "set", "lo", "up")
	var err error
	if s.file, err = os.Open("/run/netns/" + s.name); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = s.file.Close() })
	return s
}

// unplug pulls the cable out of the switch: the machine sees a link without a
// carrier, and nobody is told anything.
func (s *namespace) unplug() { s.Helper(); s.ip("link", "set", s.cable, "down") }

func (s *namespace) plug() { s.Helper(); s.ip("link", "set", s.cable, "up") }

// dial connects to an address as the machine sees it.
func (s *namespace) dial(ctx context.Context, network, address string) (net.Conn, error) {
	// A socket belongs to the namespace that its thread was in.
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, back // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return conn, err
}
