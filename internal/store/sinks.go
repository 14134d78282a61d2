package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var _ auditsink.Log = (*Store)(nil)

// maxSinkPause is longer than any pause that a sink is given: one that is longer
// comes from a clock that was set back.
const maxSinkPause = 2 * time.Hour

// sinkPoll is how often to look whether another node has settled its batch.
const sinkPoll = 2 * time.Second

const (
	sqlAddSink = `INSERT INTO audit_sinks (name, kind) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET kind = excluded.kind`
	// What another node has on its way stays there.
	sqlFreeSink = `UPDATE audit_sinks SET lease_until = NULL, due = 0 WHERE name = $1 AND (node = $2 OR lease_until IS NULL)`
	sqlSinkLag  = `SELECT s.due, s.pos < h.size FROM audit_sinks s, log_head h WHERE s.name = $1 AND h.id = 1`
	sqlSink     = `SELECT pos, upto, failures, due, node, epoch, lease_until FROM audit_sinks WHERE name = $1 /*! FOR UPDATE */`
	sqlSigned   = `SELECT MAX(size) FROM log_checkpoints WHERE size > $1 AND size <= $2`
	sqlTakeSink = `UPDATE audit_sinks SET upto = $1, node = $2, epoch = $3, lease_until = $4 WHERE name = $5`
	sqlSinkDone = `UPDATE audit_sinks SET pos = $1, upto = NULL, took_at = $2, failures = 0, error = '', due = $3, lease_until = NULL
		WHERE name = $4 AND epoch = $5 AND lease_until IS NOT NULL`
	sqlSinkFailed = `UPDATE audit_sinks SET failures = failures + $1, error = CASE WHEN $1 = 1 THEN $2 ELSE error END, due = $3, lease_until = NULL
		WHERE name = $4 AND epoch = $5 AND lease_until IS NOT NULL`
	sqlSinks = `SELECT s.name, s.kind, s.pos, s.took_at, s.failures, s.error, s.node, h.size - s.pos,
		(SELECT e.at FROM events e WHERE e.pos > s.pos ORDER BY e.pos LIMIT 1)
		FROM audit_sinks s, log_head h WHERE h.id = 1 ORDER BY s.name`
)

// RegisterSinks implements auditsink.Log.
func (s *Store) RegisterSinks(ctx context.Context, node string, sinks []auditsink.Named) error {
	return s.w.update(ctx, func(t *tx) error {
		for _, sink := range sinks {
			if _, err := t.exec(sqlAddSink, sink.Name, sink.Kind); err != nil {
				return err
			}
			if _, err := t.exec(sqlFreeSink, sink.Name, node); err != nil {
				return err
			}
		}
		return nil
	})
}

// BeginBatch implements auditsink.Log.
func (s *Store) BeginBatch(ctx context.Context, c auditsink.Claim) (b *auditsink.Batch, wait time.Duration, err error) {
	var (
		due   int64
		lacks bool
	)
	if err := s.read.QueryRowContext(ctx, sqlSinkLag, c.Sink).Scan(&due, &lacks); err != nil {
		return nil, 0, classify(err)
	}
	if wait = pause(due, s.clock.wall()); wait > 0 || !lacks {
		return nil, wait, nil
	}
	err = s.w.update(ctx, func(t *tx) (err error) {
		b, wait, err = t.beginBatch(c)
		return err
	})
	if err != nil || b == nil {
		return nil, wait, err
	}
	r := &auditReader{db: s.read, all: true}
	if b.Lines, err = r.Lines(ctx, b.From-1, int(b.To-b.From+1)); err != nil { // the node stops, maybe: others need not wait
		return nil, 0, errors.Join(err, s.SettleBatch(context.WithoutCancel(ctx), b, auditsink.Result{}))
	}
	return b, 0, nil
}

// pause is what is left until due.
func pause(due int64, now time.Time) time.Duration {
	if d := time.UnixMicro(due).Sub(now); d < maxSinkPause {
		return max(0, d)
	}
	return 0
}

func (t *tx) beginBatch(c auditsink.Claim) (*auditsink.Batch, time.Duration, error) {
	var (
		b           = &auditsink.Batch{Sink: c.Sink, Node: c.Node}
		pos, due    int64
		upto, lease sql.NullInt64
		node        string
	)
	if found, err := t.row(sqlSink, []any{c.Sink}, &pos, &upto, &b.Failures, &due, &node, &b.Epoch, &lease); err != nil || !found {
		return nil, 0, err
	}
	if wait := pause(due, t.now); wait > 0 {
		return nil, wait, nil
	}
	if wait := pause(lease.Int64, t.now); lease.Valid && node != c.Node && wait > 0 {
		return nil, min(wait, sinkPoll), nil
	}
	var size int64
	if _, err := t.row(`SELECT size FROM log_head WHERE id = 1`, nil, &size); err != nil || size <= pos {
		return nil, 0, err
	}
	if !upto.Valid {
		if _, err := t.row(sqlSigned, []any{pos, min(size, pos+int64(c.Limit))}, &upto); err != nil {
			return nil, 0, err
		}
	}
	if !upto.Valid { // nobody has signed yet
		upto.Int64 = min(size, pos+int64(c.Limit))
	}
	b.From, b.To, b.More, b.Epoch = pos+1, upto.Int64, upto.Int64 < size, b.Epoch+1
	_, err := t.exec(sqlTakeSink, b.To, c.Node, b.Epoch, t.now.Add(c.Time).UnixMicro(), c.Sink)
	return b, 0, err
}

// SettleBatch implements auditsink.Log.
func (s *Store) SettleBatch(ctx context.Context, b *auditsink.Batch, r auditsink.Result) error {
	return s.w.update(ctx, func(t *tx) error {
		due := t.now.Add(r.Pause).UnixMicro()
		query, args := sqlSinkDone, []any{b.To, t.now.UnixMicro(), due, b.Sink, b.Epoch}
		if !r.Done {
			query, args = sqlSinkFailed, []any{flag(r.Error != ""), r.Error, due, b.Sink, b.Epoch}
		}
		n, err := t.exec(query, args...)
		if err == nil && n == 0 {
			err = fault.Newf(fault.Conflict, "HX-AUDIT-020", "", "the batch of the sink %s is over: another node makes it again", b.Sink)
		}
		return err
	})
}

// AuditSinks implements service.AuditStore.
func (s *Store) AuditSinks(ctx context.Context, p tenant.PlatformScope) ([]audit.Sink, error) {
	if p.Actor() == "" {
		return nil, nil
	}
	return s.Sinks(ctx)
}

// Sinks tells how far each sink has the log, by name.
func (s *Store) Sinks(ctx context.Context) ([]audit.Sink, error) {
	rows, err := s.read.QueryContext(ctx, sqlSinks)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (v audit.Sink, err error) {
		var took, oldest sql.NullInt64
		err = rows.Scan(&v.Name, &v.Kind, &v.Pos, &took, &v.Failures, &v.Error, &v.Node, &v.Behind, &oldest)
		if took.Valid {
			v.Took = time.UnixMicro(took.Int64).UTC()
		}
		if oldest.Valid {
			v.Oldest = time.UnixMicro(oldest.Int64).UTC()
		}
		return v, err
	})
	return all, classify(err)
}

const (
	sqlLastSigned = `SELECT size, at FROM log_checkpoints ORDER BY size DESC LIMIT 1`
	sqlUnsigned   = `SELECT MIN(at) FROM (
		SELECT at FROM (SELECT at FROM events WHERE pos > $1 ORDER BY pos LIMIT 1) AS placed
		UNION ALL SELECT at FROM (SELECT at FROM events WHERE pos IS NULL ORDER BY seq LIMIT 1) AS unplaced) AS unsigned`
)

// AuditState tells how the log is.
func (s *Store) AuditState(ctx context.Context) (v audit.State, err error) {
	if err := s.read.QueryRowContext(ctx, `SELECT size FROM log_head WHERE id = 1`).Scan(&v.Size); err != nil {
		return v, classify(err)
	}
	var at, oldest sql.NullInt64
	if err := s.read.QueryRowContext(ctx, sqlLastSigned).Scan(&v.Signed, &at); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return v, classify(err)
	}
	if err := s.read.QueryRowContext(ctx, sqlUnsigned, v.Signed).Scan(&oldest); err != nil {
		return v, classify(err)
	}
	if at.Valid {
		v.SignedAt = time.UnixMicro(at.Int64).UTC()
	}
	if oldest.Valid {
		v.Unsigned = time.UnixMicro(oldest.Int64).UTC()
	}
	return v, nil
}

// CountLog has a function called with the entries that this node gave places, by
// their result. Call it before anything is logged.
func (s *Store) CountLog(count func(result string, n int)) { s.w.watch.placed = count }
