package store

import (
	"database/sql"
	"errors"
	"slices"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
)

// move is one job on its way along the state table, among others of the same
// update.
type move struct {
	row
	change  job.Change
	lease   int64   // the end of the lease that a claim begins
	before  job.Job // as it was found
	changed bool    // worth an event
	claimed int64   // when the run began that the change ends
	err     error   // nothing of this one happened
}

// bigint is the type of a number in updateJobs.
const bigint = "BIGINT"

// updateJobs writes what changes may have altered. The fence is in the statement:
// of a job that has changed hands no row is touched, and none comes back.
var updateJobs = newMany(`WITH v (state_, delayed_, not_before_, epoch_, node_, lease_until_, attempt_, started_at_, finished_at_, cancel_reason_,
		failure_, artifacts_, receipt_, ended_, priority_, ready_at_, no_progress_, host_, claimed_at_, id_, epoch_was_, state_was_) AS (VALUES `,
	[]string{
		"", bigint, bigint, bigint, "", bigint, bigint, bigint, bigint, "",
		"", "", "", bigint, bigint, bigint, bigint, "", bigint, "", bigint, "",
	},
	`) UPDATE jobs SET state = state_, delayed = delayed_, not_before = not_before_, epoch = epoch_, node = node_, lease_until = lease_until_,
		attempt = attempt_, started_at = started_at_, finished_at = finished_at_, cancel_reason = cancel_reason_, failure = failure_,
		artifacts = artifacts_, receipt = receipt_, token = CASE WHEN ended_ = 1 THEN NULL ELSE token END, priority = priority_, ready_at = ready_at_,
		progress = CASE WHEN no_progress_ = 1 THEN NULL ELSE progress END, host = host_, claimed_at = COALESCE(claimed_at_, claimed_at)
		FROM v WHERE id = id_ AND epoch = epoch_was_ AND state = state_was_ RETURNING id, claimed_at`)

// applyAll moves jobs along the state table and appends the events of it. What the
// state table refuses, and who has changed hands, gets its error and is left as it
// was; the others are not concerned. The error that is returned is the database's.
func (t *tx) applyAll(moves []*move) error {
	var written []*move
	for _, m := range moves {
		m.before = m.Job
		m.changed, m.err = m.Apply(m.change, t.now)
		if m.err != nil || !m.changed && m.Epoch == m.before.Epoch { // or it was so before
			m.Job, m.changed = m.before, false
			continue
		}
		written = append(written, m)
	}
	for part := range slices.Chunk(written, maxRows) {
		if err := t.save(part); err != nil {
			return err
		}
	}
	return t.follow(slices.DeleteFunc(written, func(m *move) bool { return m.err != nil }))
}

// save writes up to maxRows jobs.
func (t *tx) save(moves []*move) error {
	rows, missing := make([][]any, len(moves)), make(map[string]*move, len(moves))
	for i, m := range moves {
		var err error
		if rows[i], err = t.values(m); err != nil {
			return err
		}
		missing[m.ID] = m
	}
	text, args := updateJobs.padded(t.w.d, rows)
	s, err := t.w.stmt(text) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return err
	}
	t.wrote = true
	t.w.pending += len(moves)
	found, err := s.QueryContext(t.w.ctx, args...)
	_, err = scanAll(found, err, func(rows *sql.Rows) (struct{}, error) {
		var id string
		var claimed int64
		err := rows.Scan(&id, &claimed)
		if m := missing[id]; m != nil {
			m.claimed = claimed
			delete(missing, id)
		}
		return struct{}{}, err
	})
	for id, m := range missing {
		m.err = errStale(id)
		m.Job, m.changed = m.before, false
	}
	t.w.changed += int64(len(moves) - len(missing))
	return err
}

// values are what updateJobs writes of one job.
func (t *tx) values(m *move) ([]any, error) {
	failure, err1 := encodeOrNull(m.Error)
	artifacts, err2 := encodeOrNull(m.Artifacts)
	lease, claim := m.leaseUntil, sql.NullInt64{}
	switch {
	case m.change.Trigger == job.Claim:
		claim = sql.NullInt64{Int64: t.now.UnixMicro(), Valid: true}
		lease = sql.NullInt64{Int64: m.lease, Valid: true}
	case m.change.Trigger.Releases():
		lease = sql.NullInt64{}
	}
	m.delayed = t.heldBack(m.Job)
	return []any{
		string(m.State), m.delayed, micros(m.NotBefore), m.Epoch, m.Node, lease, m.Attempt,
		nullMicros(m.StartedAt), nullMicros(m.FinishedAt), m.CancelReason, failure, artifacts, []byte(m.Receipt), flag(m.State.Final()),
		m.Priority.Class(), m.ReadyAt.UnixMicro(), flag(m.Progress == nil), m.Host, claim,
		m.ID, m.before.Epoch, string(m.before.State),
	}, errors.Join(err1, err2)
}

// follow does what is to be done after jobs were written.
func (t *tx) follow(moves []*move) error {
	var ended []string
	for _, m := range moves {
		if err := t.aftermath(m); err != nil {
			return err
		}
		if m.State.Final() {
			ended = append(ended, m.ID)
		}
		if m.State == job.Pending || m.State == job.Cancelling {
			t.touch(event.Queue)
		}
		t.touch(event.JobTopic(m.ID))
		if m.changed {
			if err := t.append(event.OfChange(m.Job, m.before.State, m.change, t.now)); err != nil {
				return err
			}
		}
		m.roundUp()
		m.explain(t.now)
	}
	t.dropCheckpoints(ended...)
	return nil
}

// aftermath brings up to date what depends on one job.
func (t *tx) aftermath(m *move) error {
	if m.before.Host != "" {
		if err := t.settleHost(&m.row, m.before.Host, m.change.Trigger.Releases()); err != nil {
			return err
		}
	}
	t.usage(m.Job, m.change, m.claimed)
	if m.before.State.Final() && !m.State.Final() {
		return errors.Join(t.restartSteps(m.ID), t.forgive(m.ID))
	}
	if m.State.Final() && m.Spec.IsWorkflow() {
		return t.dropStepTokens(m.ID)
	}
	return nil
}
