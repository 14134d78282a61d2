package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeAuditSinks() {
	if a.deps.Audit == nil {
		return
	}
	private(a, huma.Operation{
		OperationID: "list_audit_sinks", Method: http.MethodGet, Path: "/audit/sinks", Tags: tagAudit, Summary: "How far the sinks have the log",
		Description: "Files, syslog servers, collectors and object stores of the configuration to which the log is carried. One that is not configured any more stays in the list.",
	}, a.listAuditSinks)
}

type auditSinksOutput struct {
	Body AuditSinkList
}

// AuditSinkList are the sinks, by name.
type AuditSinkList struct {
	Items []AuditSink `json:"items" nullable:"false"`
}

// AuditSink is one place to which the log is carried.
type AuditSink struct {
	Name       string     `json:"name"`
	Kind       string     `json:"kind" enum:"file,syslog,otlp,s3"`
	State      string     `json:"state" enum:"current,behind,failing" doc:"failing: the last try went wrong, and is made again"`
	Pos        int64      `json:"pos" doc:"The sink has the log up to this place"`
	LagEntries int64      `json:"lag_entries" doc:"Entries that it does not have"`
	LagSeconds float64    `json:"lag_seconds" doc:"How long the oldest of them has waited"`
	LastTaken  *time.Time `json:"last_taken_at,omitempty" doc:"When it took something last"`
	Failures   int        `json:"failures" doc:"In a row, until now"`
	LastError  string     `json:"last_error,omitempty" doc:"Why the last try went wrong"`
	Node       string     `json:"node,omitempty" doc:"Which daemon carried last"`
}

func showSink(s audit.Sink, now time.Time) AuditSink {
	v := AuditSink{
		Name: s.Name, Kind: s.Kind, State: s.State(), Pos: s.Pos, LagEntries: s.Behind, LagSeconds: s.Lag(now).Seconds(),
		Failures: s.Failures, LastError: s.Error, Node: s.Node,
	}
	if !s.Took.IsZero() {
		v.LastTaken = &s.Took
	}
	return v
}

func (a *API) listAuditSinks(ctx context.Context, p tenant.Principal, _ *struct{}) (*auditSinksOutput, error) {
	all, err := a.deps.Audit.Sinks(ctx, p)
	if err != nil {
		return nil, err
	}
	now, items := time.Now(), make([]AuditSink, len(all))
	for i, s := range all {
		items[i] = showSink(s, now)
	}
	return &auditSinksOutput{AuditSinkList{items}}, nil
}
