package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// BandwidthTx is the part of Tx about bandwidth limits.
type BandwidthTx interface {
	// SetBandwidth replaces a job's limit and windows in its spec, and appends the
	// event. Kinds: NotFound, Conflict (the job has ended).
	SetBandwidth(id string, rate job.Bandwidth, windows []string) (job.Job, error)
}

// SetBandwidth replaces how fast a job may read from its source: the limit
// (empty: none of its own) and its windows. A job that runs notices it within two
// seconds. Kinds: NotFound, Conflict (the job has ended), Unprocessable.
func (s *Service) SetBandwidth(ctx context.Context, p tenant.Principal, id string, rate job.Bandwidth, windows []string) (job.Job, error) {
	scope, err := p.Scope(tenant.JobUpdate)
	if err != nil {
		return job.Job{}, err
	}
	if _, err := (job.Spec{BandwidthLimit: rate, BandwidthWindows: windows}).Bandwidth(); err != nil {
		return job.Job{}, err
	}
	var j job.Job
	q := request{operation: "set_job_bandwidth", of: []any{id, rate, windows}}
	_, err = update(ctx, s, p, scope, q, &j, func(tx Tx) (err error) {
		j, err = tx.SetBandwidth(id, rate, windows)
		j.Spec = j.Spec.Shown()
		return err
	})
	return j, err
}
