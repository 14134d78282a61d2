package limit

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// How the nodes share. A node whose share becomes smaller goes by that at once, one
// whose share grows only after settle: until then every node that reaches the board
// has looked, and made room.
const (
	lookEvery = time.Second
	settle    = 3 * lookEvery
)

// Count is how many jobs of a tenant transfer: on one node, and on all.
type Count struct{ Own, All int }

// Board is where the nodes tell each other how many transfers they run.
type Board interface {
	// Post says how many transfers of each tenant run on a node; it holds for ttl.
	// Tenants that it does not name have none.
	Post(ctx context.Context, node string, transfers map[string]int, ttl time.Duration) error
	// Counts returns the counts of all tenants that have transfers, as one node sees
	// them. alone is set if no other node is there.
	Counts(ctx context.Context, node string) (counts map[string]Count, alone bool, err error)
}

// Sharer gives the tree of one node its share of the limits of tenants and of the
// global one. While the board cannot be reached, the last shares hold.
type Sharer struct {
	Tree  *Tree
	Board Board
	Node  string
	TTL   time.Duration // longer than a transfer can go on without the board
	Log   *slog.Logger

	posted map[string]int
	at     time.Time // of the last post
	global slowly
	own    map[string]*slowly
}

// Run keeps the shares up to date until ctx is done. Before it the tree must have
// been told that it is Shared.
func (s *Sharer) Run(ctx context.Context) error {
	s.own = map[string]*slowly{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for failed := false; ctx.Err() == nil; {
		err := s.look(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "the nodes cannot share the bandwidth limits; the last shares hold", "error", fault.Detail(err))
		}
		failed = err != nil
		var again <-chan time.Time
		if len(s.posted) > 0 || failed {
			again = tick.C
		}
		select {
		case <-ctx.Done():
		case <-s.Tree.changed:
		case <-again:
		}
	}
	return nil
}

// Leave takes this node's transfers off the board. Call it when they have ended.
func (s *Sharer) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if len(s.posted) == 0 {
		return
	}
	if err := s.Board.Post(ctx, s.Node, nil, s.TTL); err != nil {
		s.Log.WarnContext(ctx, "the other nodes count this one's transfers until their time is over", "error", fault.Detail(err))
	}
}

// look tells how many transfers there are and goes by what all tell.
func (s *Sharer) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	running := s.Tree.transfers()
	if s.posted == nil || !maps.Equal(running, s.posted) || len(running) > 0 && time.Since(s.at) > s.TTL/4 {
		if err := s.Board.Post(ctx, s.Node, running, s.TTL); err != nil {
			return err
		}
		s.posted, s.at = running, time.Now()
	}
	if len(running) == 0 {
		s.share(nil, false)
		return nil
	}
	counts, alone, err := s.Board.Counts(ctx, s.Node)
	if err != nil {
		return err
	}
	s.share(counts, alone)
	return nil
}

// share goes by the counts. Tenants share the global limit evenly, and each one's
// part goes to where its transfers are.
func (s *Sharer) share(counts map[string]Count, alone bool) {
	now := time.Now()
	shares, all := map[string]float64{}, 0.0
	for tenant, c := range counts {
		if c.Own == 0 || c.All < c.Own {
			continue
		}
		want := float64(c.Own) / float64(c.All)
		all += want / float64(len(counts))
		if s.own[tenant] == nil {
			s.own[tenant] = &slowly{}
		}
		shares[tenant] = s.own[tenant].to(want, now, alone)
	}
	maps.DeleteFunc(s.own, func(tenant string, _ *slowly) bool { return counts[tenant].Own == 0 })
	s.Tree.setShares(s.global.to(all, now, alone), shares)
}

// slowly is a share that shrinks at once and grows when nothing spoke against it for
// a while.
type slowly struct {
	now, next float64 // next: the least that was wanted since; 0: nothing more than now
	since     time.Time
}

// to says what is wanted and returns what holds.
func (v *slowly) to(want float64, at time.Time, once bool) float64 {
	switch {
	case want <= v.now || once:
		v.now, v.next = want, 0
	case v.next == 0:
		v.next, v.since = want, at
	default:
		if v.next = min(v.next, want); at.Sub(v.since) >= settle {
			v.now, v.next = v.next, 0
		}
	}
	return v.now
}
