// Package node tells the running daemons that share a store from each other, and
// keeps each of them on the list.
package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Node is one running daemon, or one that ran.
type Node struct {
	ID        string    `json:"id" doc:"Unique among the nodes; jobs show it as node"`
	Host      string    `json:"host"`
	URL       string    `json:"url,omitempty" doc:"Where its API listens"`
	Version   string    `json:"version"`
	State     State     `json:"state"`
	Workers   int       `json:"workers" doc:"Jobs that can run at once"`
	Busy      int       `json:"busy" doc:"Jobs that run"`
	StartedAt time.Time `json:"started_at"`
	LastSeen  time.Time `json:"last_seen"`
}

// State is what the list knows of a node.
type State string

// The states. A node that stops in order leaves the list.
const (
	Alive    State = "alive"
	Draining State = "draining" // it stops: it takes nothing more and hands back what it has
	Lost     State = "lost"     // it missed three signs of life
)

// States lists them.
func States() []State { return []State{Alive, Draining, Lost} }

// Missed is how many signs of life a node misses before it counts as lost.
const Missed = 3

// Registry is the list of nodes.
type Registry interface {
	// Beat puts the node on the list, or keeps it there; it counts as lost when
	// the next sign of life does not come within ttl. life tells this process from
	// another that has the same id: the first Beat of a life (join) takes the id
	// over, later ones get kind Conflict once it was taken over by another.
	Beat(ctx context.Context, n Node, life string, ttl time.Duration, join bool) error
	// Leave takes the node off the list, unless another life has its id.
	Leave(ctx context.Context, id, life string) error
}

// Member keeps one node on the list.
type Member struct {
	Registry Registry
	Self     func() Node // as it is now
	Life     string
	Every    time.Duration // between signs of life
	Log      *slog.Logger
}

// leaveTime bounds the last words to a store that may be gone.
const leaveTime = 3 * time.Second

// Run gives signs of life until ctx is done, and then says that the node drains.
// An error of kind Conflict means that another process has the same identity:
// this one must end.
func (m *Member) Run(ctx context.Context) error {
	tick := time.NewTicker(m.Every)
	defer tick.Stop()
	for join := true; ; {
		self := m.Self()
		if ctx.Err() != nil {
			self.State = Draining
		}
		err := m.beat(ctx, self, join)
		switch {
		case err == nil:
			join = false
		case fault.Is(err, fault.Conflict):
			return err
		default:
			m.Log.WarnContext(ctx, "no sign of life given to the store", "error", fault.Detail(err))
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (m *Member) beat(ctx context.Context, self Node, join bool) error {
	limit := m.Every
	if ctx.Err() != nil {
		limit = leaveTime
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return m.Registry.Beat(ctx, self, m.Life, Missed*m.Every, join)
}

// Leave takes the node off the list. Call it when everything is handed back.
func (m *Member) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := m.Registry.Leave(ctx, m.Self().ID, m.Life); err != nil {
		m.Log.WarnContext(ctx, "the node stays on the list until it counts as lost", "error", fault.Detail(err))
	}
}
