package dispatch

import (
	"context"
	"errors"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Hosts are the slots that a leased job holds on the hosts of providers. A slot
// ends with the lease.
type Hosts interface {
	// Of returns the slots of one step of a workflow.
	Of(step string) Hosts
	// Take takes the slot of a host, instead of that of another host that was
	// taken before. An error of HostFull: there is none. The run is to end with
	// it: the job starts again when a slot is free, and spends no attempt.
	Take(ctx context.Context, provider, host string) error
	// Free gives the slot back. Without one it does nothing.
	Free(ctx context.Context) error
}

// HostFull tells that a host serves as many exports as it may.
func HostFull(host string, limit int) error {
	return &hostFullError{fault.Newf(fault.Exhausted, "HX-RUN-020", "the job goes on when one of them ends; or raise max_exports_per_host",
		"the host %s serves %d exports and may serve no more", host, limit)}
}

type hostFullError struct{ error }

func (e *hostFullError) Unwrap() error { return e.error }

// IsHostFull tells whether an error is one of HostFull.
func IsHostFull(err error) bool {
	_, full := errors.AsType[*hostFullError](err)
	return full
}

// patientHosts are Hosts that wait for the store.
type patientHosts struct {
	Hosts
	r *run
}

func (h patientHosts) Of(step string) Hosts { return patientHosts{h.Hosts.Of(step), h.r} }

func (h patientHosts) Take(ctx context.Context, provider, host string) error {
	return h.r.patiently(ctx, func() error { return h.Hosts.Take(ctx, provider, host) })
}

func (h patientHosts) Free(ctx context.Context) error {
	return h.r.patiently(ctx, func() error { return h.Hosts.Free(ctx) })
}
