package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/limit"
)

// SetBandwidth implements service.BandwidthTx.
func (t *scopedTx) SetBandwidth(id string, rate job.Bandwidth, windows []string) (job.Job, error) {
	r, err := t.tx.job(id)
	if err != nil {
		return job.Job{}, err
	}
	switch {
	case r.Tenant != string(t.scope.Tenant()):
		return job.Job{}, errNoJob(id)
	case r.State.Final():
		return job.Job{}, fault.Newf(fault.Conflict, "HX-LIMIT-011", "submit it again with another limit", "job %s has ended: it is %s", id, r.State)
	}
	r.Spec.BandwidthLimit, r.Spec.BandwidthWindows = rate, windows
	spec, err := encode(r.Spec)
	if err != nil {
		return job.Job{}, err
	}
	if _, err := t.tx.exec(`UPDATE jobs SET spec = $1 WHERE id = $2`, spec, id); err != nil {
		return job.Job{}, err
	}
	r.explain(t.tx.now)
	return r.Job, t.tx.append(event.OfBandwidth(r.Job, t.scope.Actor(), t.tx.now))
}

// Bandwidth implements step.Bandwidth.
func (s *Store) Bandwidth(ctx context.Context, jobID string) (own, ofTenant limit.Plan, err error) {
	var (
		text  []byte
		bytes int64
		spec  job.Spec
	)
	err = s.read.QueryRowContext(ctx, `SELECT j.spec, COALESCE(t.max_bandwidth_bytes, 0) FROM jobs j
		LEFT JOIN tenants t ON t.id = j.tenant WHERE j.id = $1`, jobID).Scan(&text, &bytes)
	if err != nil {
		return own, ofTenant, classify(err)
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return own, ofTenant, fmt.Errorf("decode job %s: %w", jobID, err)
	}
	own, err = spec.Bandwidth()
	return own, limit.Plan{Rate: limit.Rate(max(0, bytes))}, err
}
