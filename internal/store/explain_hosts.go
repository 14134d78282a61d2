package store

import (
	"context"
	"database/sql"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/service"
)

// hosts reads the hosts that the jobs name and that have a limit.
func (q *questions) hosts(jobs []admission.Waiting) admission.Hosts {
	all := admission.Hosts{}
	for _, j := range jobs {
		if _, known := all[j.Host]; known || j.Host == "" || q.err != nil {
			continue
		}
		h := admission.Host{Provider: providerOf(j.Host)}
		q.err = q.s.read.QueryRowContext(q.ctx, `SELECT COALESCE((SELECT slots FROM host_limits WHERE provider = $1), 0),
			(SELECT COUNT(*) FROM host_slots WHERE host = $2)`, h.Provider, j.Host).Scan(&h.Limit, &h.Held)
		all[j.Host] = h
	}
	return all
}

// hostWait tells what holds the slots of the job's host. Of other tenants' jobs
// only the number is told.
func (q *questions) hostWait(c admission.Case, tenant string) (w service.HostWait) {
	h, known := c.State.Hosts[c.Job.Host]
	if !known || h.Limit == 0 || q.err != nil {
		return w
	}
	w = service.HostWait{Name: c.Job.Host, Limit: h.Limit, Held: h.Held}
	var holders []holder
	holders, q.err = q.s.holders(q.ctx, c.Job.Host)
	for _, x := range holders {
		if x.tenant == tenant {
			w.Jobs = append(w.Jobs, x.job)
		} else {
			w.Others++
		}
	}
	return w
}

type holder struct{ host, job, tenant string }

func (s *Store) holders(ctx context.Context, key string) ([]holder, error) {
	rows, err := s.read.QueryContext(ctx, sqlHolders, key)
	return scanAll(rows, err, func(rows *sql.Rows) (h holder, err error) { return h, rows.Scan(&h.host, &h.job, &h.tenant) })
}
