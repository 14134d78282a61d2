package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
)

// A pending job whose host is known waits with delayedHost until the host has a
// free slot. Then the jobs that could get one are made ready, and a claim gives
// the slot to the one that it starts: admission decides between them as between
// any others. Who changes any of that holds the row of the provider in
// host_limits, and takes it after the row of its own job; rows of other jobs that
// somebody holds are skipped, because that one looks here himself before he ends.
const (
	sqlHostLimit = `SELECT slots FROM host_limits WHERE provider = $1 /*! FOR UPDATE */`
	sqlHeldSlots = `SELECT COUNT(*) FROM host_slots WHERE host = $1`
	sqlHostOf    = `SELECT host FROM host_slots WHERE job_id = $1 AND step = $2`
	sqlTakeSlot  = `INSERT INTO host_slots (job_id, step, host, taken_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (job_id, step) DO UPDATE SET host = excluded.host, taken_at = excluded.taken_at`

	// sqlUnpark makes ready, of each tenant, as many jobs as slots are free: the
	// first by class, and those that wait longest.
	sqlUnpark = `UPDATE jobs SET delayed = 0 WHERE seq IN (SELECT seq FROM jobs WHERE state = 'pending' AND delayed = 3 AND seq IN (
		SELECT seq FROM (SELECT seq, ROW_NUMBER() OVER (PARTITION BY tenant ORDER BY priority, seq) AS place,
			ROW_NUMBER() OVER (PARTITION BY tenant ORDER BY ready_at, seq) AS age
			FROM jobs WHERE state = 'pending' AND host <> '' AND host = $1 AND delayed IN (0, 3)) AS waiting
		WHERE place <= $2 OR age <= $2) /*! FOR UPDATE SKIP LOCKED */)`
	sqlPark = `UPDATE jobs SET delayed = 3 WHERE seq IN (SELECT seq FROM jobs
		WHERE state = 'pending' AND host <> '' AND host = $1 AND delayed = 0 /*! FOR UPDATE SKIP LOCKED */)`
	// sqlLostHosts are hosts with jobs that wait for a slot and none that is ready.
	sqlLostHosts = `SELECT DISTINCT j.host FROM jobs j WHERE j.state = 'pending' AND j.host <> '' AND j.delayed = 3
		AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'pending' AND r.host <> '' AND r.host = j.host AND r.delayed = 0)`
	sqlParkedHosts = `SELECT DISTINCT host FROM jobs WHERE state = 'pending' AND host <> '' ORDER BY host`
)

// unlimited is more slots than there are jobs.
const unlimited = 1 << 30

func hostKey(provider, host string) string { return provider + "/" + host }

func providerOf(key string) string {
	provider, _, _ := strings.Cut(key, "/")
	return provider
}

// hosts are the slots of one leased job.
type hosts struct {
	s    *Store
	l    dispatch.Lease
	step string
}

// Hosts implements dispatch.Queue.
func (s *Store) Hosts(l dispatch.Lease) dispatch.Hosts { return &hosts{s: s, l: l} }

// Of implements dispatch.Hosts.
func (h *hosts) Of(step string) dispatch.Hosts { return &hosts{s: h.s, l: h.l, step: step} }

// Take implements dispatch.Hosts.
func (h *hosts) Take(ctx context.Context, provider, host string) error {
	key, id := hostKey(provider, host), h.l.Job.ID
	full, limit := false, 0
	err := h.s.fenced(ctx, h.l, func(t *tx) (err error) {
		if limit, err = t.hostLimit(provider); err != nil || limit == 0 {
			return err
		}
		if _, err := t.exec(`UPDATE jobs SET host = $1, host_step = $2 WHERE id = $3`, key, h.step, id); err != nil {
			return err
		}
		taken, before, err := t.takeSlot(id, h.step, key, limit)
		full = !taken
		if err != nil || before == key {
			return err
		}
		if before != "" {
			if err := t.balanceLocked(before); err != nil {
				return err
			}
		}
		return t.balance(key, limit)
	})
	if err == nil && full {
		return dispatch.HostFull(host, limit)
	}
	return err
}

// Free implements dispatch.Hosts.
func (h *hosts) Free(ctx context.Context) error {
	return h.s.fenced(ctx, h.l, func(t *tx) error {
		if err := t.freeSlots(`job_id = $1 AND step = $2`, h.l.Job.ID, h.step); err != nil {
			return err
		}
		_, err := t.exec(`UPDATE jobs SET host = COALESCE((SELECT MAX(s.host) FROM host_slots s WHERE s.job_id = jobs.id), ''),
			host_step = COALESCE((SELECT MAX(s.step) FROM host_slots s WHERE s.job_id = jobs.id), '') WHERE id = $1 AND host <> ''`, h.l.Job.ID)
		return err
	})
}

// LimitHosts sets how many jobs may read from each host of a provider at once; 0:
// any number. It holds for all nodes.
func (s *Store) LimitHosts(ctx context.Context, provider string, slots int) error {
	return s.w.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO host_limits (provider, slots) VALUES ($1, $2)
			ON CONFLICT (provider) DO UPDATE SET slots = excluded.slots`, provider, slots); err != nil {
			return err
		}
		parked, err := t.strings(sqlParkedHosts)
		if err != nil {
			return err
		}
		for _, key := range parked {
			if providerOf(key) == provider {
				if err := t.balance(key, slots); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// hostLimit reads the limit of a provider's hosts, and holds off who else would
// take or give slots.
func (t *tx) hostLimit(provider string) (limit int, err error) {
	_, err = t.row(sqlHostLimit, []any{provider}, &limit)
	return limit, err
}

// takeSlot gives the job a slot of a host, if one is free. The step loses the one
// that it held before, of another host. Balancing both is the caller's.
func (t *tx) takeSlot(id, step, key string, limit int) (taken bool, before string, err error) {
	if _, err = t.row(sqlHostOf, []any{id, step}, &before); err != nil || before == key {
		return err == nil, before, err
	}
	held := 0
	if _, err = t.row(sqlHeldSlots, []any{key}, &held); err != nil {
		return false, before, err
	}
	if taken = held < limit; taken {
		_, err = t.exec(sqlTakeSlot, id, step, key, t.now.UnixMicro())
	} else {
		_, err = t.exec(`DELETE FROM host_slots WHERE job_id = $1 AND step = $2`, id, step)
	}
	return taken, before, err
}

// freeSlots gives slots back.
func (t *tx) freeSlots(condition string, args ...any) error {
	freed, err := t.strings(`DELETE FROM host_slots WHERE `+condition+` RETURNING host`, args...)
	if err != nil {
		return err
	}
	for _, key := range freed {
		if err := t.balanceLocked(key); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) balanceLocked(key string) error {
	limit, err := t.hostLimit(providerOf(key))
	if err != nil {
		return err
	}
	return t.balance(key, limit)
}

// balance makes jobs ready that could get a slot of the host, or puts all back
// that could not.
func (t *tx) balance(key string, limit int) error {
	free := unlimited
	if limit > 0 {
		held := 0
		if _, err := t.row(sqlHeldSlots, []any{key}, &held); err != nil {
			return err
		}
		free = limit - held
	}
	if free <= 0 {
		_, err := t.exec(sqlPark, key)
		return err
	}
	n, err := t.exec(sqlUnpark, key, free)
	if n > 0 {
		t.touch(event.Queue)
	}
	return err
}

// settleHost brings the hosts up to date that a change of the job was about, and
// tells what the column delayed of the job has become. It comes after the job was
// written.
func (t *tx) settleHost(r *row, hostBefore string, released bool) error {
	if released {
		if err := t.freeSlots(`job_id = $1`, r.ID); err != nil {
			return err
		}
	}
	if err := t.balanceLocked(hostBefore); err != nil {
		return err
	}
	_, err := t.row(`SELECT delayed FROM jobs WHERE id = $1`, []any{r.ID}, &r.delayed)
	return err
}

// reserve takes the slot of a job that is to be started, if its host is known.
// Without a free one the job is put back, and those that wait for the same.
func (t *tx) reserve(r *row) (ok bool, err error) {
	if r.Host == "" {
		return true, nil
	}
	limit, err := t.hostLimit(providerOf(r.Host))
	if err != nil || limit == 0 {
		return err == nil, err
	}
	if ok, _, err = t.takeSlot(r.ID, r.hostStep, r.Host, limit); ok || err != nil {
		return ok, err
	}
	return false, t.balance(r.Host, limit)
}

// unparkLost makes ready what balance passed over because somebody held its row.
func (s *Store) unparkLost(ctx context.Context) error {
	rows, err := s.read.QueryContext(ctx, sqlLostHosts)
	keys, err := scanAll(rows, err, func(rows *sql.Rows) (key string, err error) { return key, rows.Scan(&key) })
	if err != nil {
		return classify(err)
	}
	q := &questions{ctx: ctx, s: s}
	for _, key := range keys {
		open := q.hosts([]admission.Waiting{{Host: key}})[key].Open()
		if q.err != nil || !open {
			continue
		}
		if err := s.w.update(ctx, func(t *tx) error { return t.balanceLocked(key) }); err != nil {
			return err
		}
	}
	return classify(q.err)
}

// heldBack is delayed for a job whose host is known: settleHost decides later
// whether it is ready.
func (t *tx) heldBack(j job.Job) int {
	if d := t.delayed(j); d != 0 || j.State != job.Pending || j.Host == "" {
		return d
	}
	return delayedHost
}
