package gate

import (
	"fmt"
	"math"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Rates say how often a principal may call.
type Rates struct {
	PerMinute int            // all operations together that have no rate of their own
	Burst     int            // turns that may be taken at once
	Own       map[string]int // per minute, by the name of a policy
}

// Check tells what is wrong with the rates; "" if nothing is.
func (r Rates) Check() string {
	if bad(r.PerMinute) {
		return fmt.Sprintf("requests_per_minute: 1 to %d", maxRate)
	}
	if bad(r.Burst) {
		return fmt.Sprintf("burst: 1 to %d", maxRate)
	}
	for name, n := range r.Own {
		if bad(n) {
			return fmt.Sprintf("per_endpoint: %.100q: 1 to %d", name, maxRate)
		}
	}
	return ""
}

func bad(n int) bool { return n < 1 || n > maxRate }

// maxRate keeps the share of a turn, and the time of a whole bucket, in range.
const maxRate = 10_000_000

// Limits bound each principal by Rates, in the memory of this node.
type Limits struct {
	rates    Rates
	policies map[string]string // by operation
	taken    *buckets[bucket]
}

type bucket struct {
	tenant       tenant.ID
	name, policy string
}

// defaultPolicy is what operations fall under that have none of their own.
const defaultPolicy = "default"

// NewLimits makes the limiter. The policies come by Assign. now may be nil.
func NewLimits(r Rates, now func() time.Time) *Limits {
	if now == nil {
		now = time.Now
	}
	return &Limits{rates: r, policies: map[string]string{}, taken: newBuckets[bucket](now)}
}

// Assign puts operations under the policies that are named as the rates name them:
// by path, by "METHOD /path" or by operation. paths holds the method and path of
// each operation, joined by a space. It must be done before the first Take. Kind
// Invalid for a name that stands for no operation.
func (l *Limits) Assign(paths map[string]string) error {
	for name := range l.rates.Own {
		found := false
		for operation, route := range paths {
			if name == operation || name == route || name == pathOf(route) {
				if other, twice := l.policies[operation]; twice {
					return fault.Newf(fault.Invalid, "HX-GATE-003", "keep one of them", "security.rate_limit.per_endpoint: %.100q and %.100q name the same operation", other, name)
				}
				l.policies[operation], found = name, true
			}
		}
		if !found {
			return fault.Newf(fault.Invalid, "HX-GATE-004", "name a path as /openapi.json has it", "security.rate_limit.per_endpoint: %.100q is no path of the API", name)
		}
	}
	return nil
}

// Take takes a turn. Kind Exhausted.
func (l *Limits) Take(p tenant.Principal, operation string) (Allowance, error) {
	policy, r := defaultPolicy, rate{l.rates.PerMinute, l.rates.Burst}
	if own, ok := l.policies[operation]; ok {
		policy, r.perMinute = own, l.rates.Own[own]
	}
	left, next, ok := l.taken.take(bucket{p.Tenant(), p.Name(), policy}, r)
	a := r.allowance(policy, left, next)
	if ok {
		return a, nil
	}
	return a, fault.Newf(fault.Exhausted, "HX-GATE-001", "wait as long as Retry-After says, or ask for less by one call",
		"the limit of %d requests per minute is reached; the next one is free in %d s", r.perMinute, int(math.Ceil(next.Seconds())))
}

func pathOf(route string) string {
	for i := range len(route) {
		if route[i] == ' ' {
			return route[i+1:]
		}
	}
	return route
}
