package daemon

import (
	"cmp"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/version"
)

// The rhythm of a node. With SQLite nobody but this process can take a job, and a
// heartbeat is a commit: a disk that is busy with exports can make an fsync wait
// for many seconds. With PostgreSQL another node is to go on soon.
const (
	leaseAlone  = time.Minute
	leaseShared = 20 * time.Second
	beatAlone   = 30 * time.Second
	beatShared  = 5 * time.Second
)

// rhythm returns how long a lease lasts and how often a node gives a sign of life.
func rhythm(shared bool) (lease, beat time.Duration) {
	if shared {
		return leaseShared, beatShared
	}
	return leaseAlone, beatAlone
}

// member makes this engine's membership in the list of nodes.
func (e *Engine) member(id string, beat time.Duration, log *slog.Logger) (*node.Member, error) {
	life, err := uuid.NewRandom()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "HX-NODE-003", "no random number for the life of this node", "")
	}
	host, _ := os.Hostname() // the id says it, too
	started := time.Now().UTC()
	self := func() node.Node {
		size, busy := e.dispatcher.Workers()
		return node.Node{
			ID: id, Host: cmp.Or(host, "local"), URL: e.url, Version: version.String(), State: node.Alive,
			Workers: size, Busy: busy, StartedAt: started,
		}
	}
	return &node.Member{Registry: e.store, Self: self, Life: life.String(), Every: beat, Log: log}, nil
}
