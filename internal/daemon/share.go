package daemon

import "github.com/hypersdk/hypersdk/internal/limit"

// share makes this node share the bandwidth limits with the other ones. A node that
// cannot reach the database is counted for longer than its leases last: what it
// reads meanwhile is within its last share.
func (e *Engine) share(id string) {
	e.limits.Shared()
	e.sharer = &limit.Sharer{Tree: e.limits, Board: e.store, Node: id, TTL: leaseShared + 2*beatShared, Log: e.log}
}
