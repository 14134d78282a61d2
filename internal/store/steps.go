package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// steps keep how far the steps of one leased job are.
type steps struct {
	s *Store
	l dispatch.Lease
}

// Steps implements dispatch.Queue.
func (s *Store) Steps(l dispatch.Lease) dispatch.Steps { return &steps{s: s, l: l} }

// Load implements dispatch.Steps.
func (p *steps) Load(ctx context.Context) (map[string]dispatch.StepRecord, error) {
	rows, err := p.s.read.QueryContext(ctx, `SELECT state, receipt, token FROM steps WHERE job_id = $1`, p.l.Job.ID)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (r dispatch.StepRecord, err error) {
		var state, receipt []byte
		if err := rows.Scan(&state, &receipt, &r.Token); err != nil {
			return r, err
		}
		r.Receipt = receipt
		return r, decodeStep(state, &r.State)
	})
	records := make(map[string]dispatch.StepRecord, len(all))
	for _, r := range all {
		records[r.State.ID] = r
	}
	return records, classify(err)
}

func decodeStep(text []byte, s *job.StepState) error {
	if err := json.Unmarshal(text, s); err != nil {
		return fmt.Errorf("decode a step: %w", err)
	}
	return nil
}

// Save implements dispatch.Steps.
func (p *steps) Save(ctx context.Context, pos int, s job.StepState, receipt json.RawMessage) error {
	state, err := encode(s)
	if err != nil {
		return err
	}
	return p.s.fenced(ctx, p.l, func(t *tx) error {
		_, err := t.exec(`INSERT INTO steps (job_id, id, position, state, receipt) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (job_id, id) DO UPDATE SET state = excluded.state, receipt = excluded.receipt`,
			p.l.Job.ID, s.ID, pos, state, []byte(receipt))
		if err != nil {
			return err
		}
		var now job.State
		if _, err := t.row(`SELECT state FROM jobs WHERE id = $1`, []any{p.l.Job.ID}, &now); err != nil {
			return err
		}
		j := p.l.Job
		j.State = now // it may have become cancelling
		return t.append(event.OfStep(j, s, t.now))
	})
}

// SaveToken implements dispatch.Steps.
func (p *steps) SaveToken(ctx context.Context, step string, token []byte) error {
	return p.s.fenced(ctx, p.l, func(t *tx) error {
		n, err := t.exec(`UPDATE steps SET token = $1 WHERE job_id = $2 AND id = $3`, token, p.l.Job.ID, step)
		if err == nil && n == 0 {
			return fault.Newf(fault.NotFound, "HX-STORE-040", "", "the step %.100q of this job has not been saved", step)
		}
		return err
	})
}

// dropStepTokens forgets what the executors of a job saved.
func (t *tx) dropStepTokens(id string) error {
	_, err := t.exec(`UPDATE steps SET token = NULL WHERE job_id = $1`, id)
	return err
}

// restartSteps forgets the steps that did not complete: a job that is retried by
// hand goes on with them.
func (t *tx) restartSteps(id string) error {
	states, err := t.strings(`SELECT state FROM steps WHERE job_id = $1`, id)
	if err != nil {
		return err
	}
	for _, text := range states {
		var s job.StepState
		if err := decodeStep([]byte(text), &s); err != nil {
			return err
		}
		if s.State == job.StepCompleted {
			continue
		}
		if _, err := t.exec(`DELETE FROM steps WHERE job_id = $1 AND id = $2`, id, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// withSteps fills in the states of a workflow's steps.
func (r *reader) withSteps(ctx context.Context, j *job.Job) error {
	if !j.Spec.IsWorkflow() {
		return nil
	}
	rows, err := r.s.read.QueryContext(ctx, `SELECT position, state FROM steps WHERE job_id = $1`, j.ID)
	type placed struct {
		pos   int
		state job.StepState
	}
	saved, err := scanAll(rows, err, func(rows *sql.Rows) (p placed, err error) {
		var state []byte
		if err := rows.Scan(&p.pos, &state); err != nil {
			return p, err
		}
		return p, decodeStep(state, &p.state)
	})
	j.Steps = j.Spec.Plan().States()
	for _, p := range saved {
		if p.pos < len(j.Steps) {
			j.Steps[p.pos] = p.state
		}
	}
	return err
}
