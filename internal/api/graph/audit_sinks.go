package graph

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
)

func (q *queries) AuditSinks(ctx context.Context) ([]AuditSink, error) {
	log, err := q.audit()
	if err != nil {
		return nil, err
	}
	all, err := log.Sinks(ctx, principal(ctx))
	now, out := time.Now(), make([]AuditSink, len(all))
	for i := range all {
		out[i] = sinkOf(&all[i], now)
	}
	return out, err
}

func sinkOf(s *audit.Sink, now time.Time) AuditSink {
	v := AuditSink{
		Name: s.Name, Kind: s.Kind, State: s.State(), Pos: s.Pos, LagEntries: s.Behind, LagSeconds: s.Lag(now).Seconds(),
		Failures: s.Failures, LastError: s.Error, Node: s.Node,
	}
	if !s.Took.IsZero() {
		v.LastTakenAt = &s.Took
	}
	return v
}
