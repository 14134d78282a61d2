package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeStatus() {
	private(a, huma.Operation{
		OperationID: "get_status", Method: http.MethodGet, Path: "/status", Tags: tagDaemon,
		Summary: "How busy the daemon is, and with what",
	}, a.getStatus)
}

type statusOutput struct {
	Body Status
}

// Status is the state of the engine as the caller sees it.
type Status struct {
	Version    string              `json:"version"`
	Uptime     float64             `json:"uptime_seconds"`
	Jobs       map[job.State]int64 `json:"jobs" doc:"Jobs by state; every state is there"`
	Workers    Workers             `json:"workers"`
	OldestWait float64             `json:"oldest_wait_seconds" doc:"Since when the job waits that waits longest and could run"`
}

// Workers are the places for jobs on this node.
type Workers struct {
	Size int `json:"size" doc:"Jobs that can run at once"`
	Busy int `json:"busy" doc:"Jobs that run; more than size while the pool drains"`
	Min  int `json:"min" doc:"The least size"`
	Max  int `json:"max" doc:"The largest size; the same as min if the pool does not scale"`
	// Reason is one of the reasons of package admission.
	Reason string `json:"reason" doc:"Why the pool has its size: fixed, steady, backlog (it grows), idle (it shrank), max, not_needed (what waits may not start), cpu, memory, disk (the machine is short of it)"`
}

func (a *API) getStatus(ctx context.Context, p tenant.Principal, _ *struct{}) (*statusOutput, error) {
	s, err := a.deps.Service.Status(ctx, p)
	if err != nil {
		return nil, err
	}
	return &statusOutput{Status{
		Version: a.deps.Version, Uptime: time.Since(a.started).Seconds(), Jobs: s.Jobs,
		Workers: Workers{Size: s.Workers, Busy: s.Busy, Min: s.Bounds.Min, Max: s.Bounds.Max, Reason: s.SizeReason}, OldestWait: s.OldestWait.Seconds(),
	}}, nil
}
