package service

import (
	"context"
	"iter"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Update is one element of a job's stream: an event, a new progress, or neither
// (a keep-alive, at least every KeepAlive).
type Update struct {
	Event    *event.Event
	Progress *job.Progress
}

// KeepAlive is the longest silence of a stream.
const KeepAlive = 15 * time.Second

// pollEvery is how long a stream trusts the feed before it looks by itself.
const pollEvery = time.Second

// eventPage is how many events a stream reads at once.
const eventPage = 100

// Events streams a job's events with Seq > after in order, and its progress in
// between. Pass the last Seq seen to go on after a broken connection: no event
// is left out or repeated. The stream ends after the event of a final state, or
// with the error that stopped it (the cause of ctx included). A job that is not
// there is the error of the call, before anything is streamed.
func (s *Service) Events(ctx context.Context, p tenant.Principal, id string, after int64) (iter.Seq2[Update, error], error) {
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return nil, err
	}
	reader := s.store.Reader(scope)
	if _, err := reader.Job(ctx, id); err != nil {
		return nil, err
	}
	return func(yield func(Update, error) bool) {
		wake, stop := s.deps.Feed.Watch(event.JobTopic(id))
		defer stop()
		st := stream{reader: reader, id: id, after: after, yield: yield}
		for silent := time.Duration(0); st.advance(ctx); {
			if st.sent {
				silent = 0
			} else if silent >= KeepAlive {
				silent = 0
				if !yield(Update{}, nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
				yield(Update{}, context.Cause(ctx))
				return
			case <-wake:
			case <-time.After(pollEvery):
				silent += pollEvery
			}
		}
	}, nil
}

// stream is the position of one reader in a job's history.
type stream struct {
	reader   Reader
	id       string
	after    int64
	progress time.Time // UpdatedAt of the progress sent last
	sent     bool      // the last advance yielded something
	yield    func(Update, error) bool
}

// advance yields all that is new and tells whether the stream goes on. The job
// is read before its events: when it was final then, its last event is there.
func (st *stream) advance(ctx context.Context) bool {
	st.sent = false
	j, err := st.reader.Job(ctx, st.id)
	if err != nil {
		st.yield(Update{}, err)
		return false
	}
	for {
		events, err := st.reader.Events(ctx, st.id, st.after, eventPage)
		if err != nil {
			st.yield(Update{}, err)
			return false
		}
		for i := range events {
			st.sent, st.after = true, events[i].Seq
			if !st.yield(Update{Event: &events[i]}, nil) {
				return false
			}
		}
		if len(events) < eventPage {
			break
		}
	}
	if j.State.Final() {
		return false
	}
	if pr := j.Progress; pr != nil && pr.UpdatedAt.After(st.progress) {
		st.sent, st.progress = true, pr.UpdatedAt
		return st.yield(Update{Progress: pr}, nil)
	}
	return true
}
