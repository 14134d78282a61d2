package service

import (
	"context"
	"iter"
	"reflect"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Updates yields a job as it is, and again whenever it is different, until it has
// ended. A reader that is slow gets the newest state and not those between. It
// ends with the error that stopped it (the cause of ctx included). A job that is
// not there is the error of the call.
func (s *Service) Updates(ctx context.Context, p tenant.Principal, id string) (iter.Seq2[job.Job, error], error) {
	if _, err := s.Get(ctx, p, id); err != nil {
		return nil, err
	}
	return func(yield func(job.Job, error) bool) {
		wake, stop := s.deps.Feed.Watch(event.JobTopic(id))
		defer stop()
		var last job.Job
		for {
			j, err := s.Get(ctx, p, id)
			if err != nil {
				yield(job.Job{}, err)
				return
			}
			if !reflect.DeepEqual(j, last) && !yield(j, nil) || j.State.Final() {
				return
			}
			last = j
			select {
			case <-ctx.Done():
				yield(job.Job{}, context.Cause(ctx))
				return
			case <-wake:
			case <-time.After(pollEvery):
			}
		}
	}, nil
}
