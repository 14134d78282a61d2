package store

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

const (
	// sqlHeads finds since when the job could run that each class of each tenant
	// would start next: the cost depends on the tenants that wait, not on the jobs.
	sqlHeads = sqlActive + ` SELECT ` + sqlHeadSince + `j.priority >= 0 AND j.priority <= 0 ORDER BY j.priority, j.seq LIMIT 1)), 0), ` + sqlHeadSince + `j.priority >= 1 AND j.priority <= 1 ORDER BY j.priority, j.seq LIMIT 1)), 0), ` +
		sqlHeadSince + `j.priority >= 2 AND j.priority <= 2 ORDER BY j.priority, j.seq LIMIT 1)), 0), ` + sqlHeadSince + `j.priority >= 3 AND j.priority <= 3 ORDER BY j.priority, j.seq LIMIT 1)), 0)
		FROM active a WHERE a.tenant IS NOT NULL`
	sqlHeadSince = `COALESCE(MIN((SELECT j.ready_at FROM jobs j WHERE j.tenant = a.tenant AND j.state = 'pending' AND j.delayed = 0 AND `

	sqlLeases = `SELECT COUNT(*), COALESCE(SUM(CASE WHEN lease_until <= $1 THEN 1 ELSE 0 END), 0) FROM jobs WHERE lease_until IS NOT NULL`
)

// Pressure measures the queue.
func (s *Store) Pressure(ctx context.Context) (p dispatch.Pressure, err error) {
	var since [4]int64
	if err := s.read.QueryRowContext(ctx, sqlHeads).Scan(&since[0], &since[1], &since[2], &since[3]); err != nil {
		return p, classify(err)
	}
	now := s.clock.wall()
	p.Oldest = make(map[job.Priority]time.Duration, len(since))
	for class, at := range since {
		p.Oldest[job.PriorityOf(class)] = 0
		if at > 0 {
			p.Oldest[job.PriorityOf(class)] = max(0, now.Sub(time.UnixMicro(at)))
		}
	}
	return p, classify(s.read.QueryRowContext(ctx, sqlLeases, s.clock.lease()).Scan(&p.Leases, &p.Expired))
}
