package node_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/node"
)

func TestIdentityLasts(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	first, err := node.Identity(a)
	if err != nil {
		t.Fatal(err)
	}
	again, err := node.Identity(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := node.Identity(b)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if first != again || first == other || !strings.HasPrefix(first, host+"-") {
		t.Errorf("%q, then %q; another has %q", first, again, other)
	}
	if err := os.WriteFile(filepath.Join(b, "node.id"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Identity(b); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a damaged file: %v", err)
	}
}

// registry keeps what it was told.
type registry struct {
	mu    sync.Mutex
	err   error
	beats []node.State
	joins int
	left  bool
}

func (r *registry) Beat(_ context.Context, n node.Node, _ string, _ time.Duration, join bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beats = append(r.beats, n.State)
	if join {
		r.joins++
	}
	return r.err
}

func (r *registry) Leave(context.Context, string, string) error {
	r.left = true
	return nil
}

func TestMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{err: errors.New("down")}
		m := &node.Member{
			Registry: r, Life: "one", Every: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
			Self: func() node.Node { return node.Node{ID: "a", State: node.Alive} },
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		<-time.After(6 * time.Second) // two beats fail
		r.mu.Lock()
		r.err = nil
		r.mu.Unlock()
		<-time.After(10 * time.Second) // two more get through
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		m.Leave(ctx)
		if len(r.beats) != 5 || r.joins != 3 || r.beats[3] != node.Alive || r.beats[4] != node.Draining || !r.left {
			t.Errorf("beats %v, %d to join, left %v", r.beats, r.joins, r.left)
		}
		r.err = fault.New(fault.Conflict, "HX-X-001", "another", "")
		if err := m.Run(t.Context()); !fault.Is(err, fault.Conflict) {
			t.Errorf("a stolen identity: %v", err)
		}
	})
}
