package step

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/provider"
)

// whereabouts looks up on which host the VM is by now: an earlier run may have
// been hours ago.
func (r *run) whereabouts(ctx context.Context) (provider.VM, error) {
	if r.st.VM.Host == "" {
		return r.st.VM, nil
	}
	vm, err := r.prov.Find(ctx, r.st.VM.ID)
	if err != nil {
		return r.st.VM, err
	}
	r.st.VM.Host = vm.Host
	return r.st.VM, nil
}

// takeHost takes a slot of the host before anything on it is touched.
func (r *run) takeHost(ctx context.Context, host string) error {
	if host == "" || r.t.Hosts == nil {
		return nil
	}
	return r.t.Hosts.Take(ctx, r.t.Job.Spec.Provider, host)
}

// freeHost gives the slot back: what follows does not read from the host.
func (r *run) freeHost(ctx context.Context) error {
	if r.st.VM.Host == "" || r.t.Hosts == nil {
		return nil
	}
	return r.t.Hosts.Free(ctx)
}
