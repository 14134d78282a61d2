// Package vsphere exports virtual machines from VMware vCenter and ESXi.
//
// A VM is frozen by a snapshot and its disks are read from there: by Range
// requests to the datastore (transport range: parallel, resumable), or through
// an HTTP-NFC lease (transport nfc: one sequential stream of a streamOptimized
// VMDK, on every kind of datastore). docs/vsphere.md tells how, with which
// privileges, and what was never tried on a real ESXi.
package vsphere

import (
	"context"
	"log/slog"

	"github.com/vmware/govmomi/vim25/methods"

	"github.com/hypersdk/hypersdk/internal/provider"
)

// Provider is one vCenter, or one ESXi host. Its methods may be called from
// many goroutines; they share one session.
type Provider struct {
	cfg      Config
	log      *slog.Logger
	observer *Observer
	login    *login
	streams  *limiter
	page     int // VMs per round trip
}

var _ provider.Provider = (*Provider)(nil)

// New checks the configuration and makes a provider. It does not talk to
// vCenter: a daemon starts although vCenter is down. log may be nil. Kind
// Invalid: the configuration is incomplete or wrong.
func New(cfg Config, log *slog.Logger, observer Observer) (*Provider, error) {
	cfg.setDefaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Provider{cfg: cfg, log: log, observer: &observer, streams: newLimiter(cfg.HostStreams), page: pageSize}
	var err error
	if p.login, err = newLogin(cfg, log, p.observer); err != nil {
		return nil, err
	}
	return p, nil
}

// Ping tells whether vCenter answers and accepts the login.
func (p *Provider) Ping(ctx context.Context) error {
	c, err := p.login.connect(ctx)
	if err != nil {
		return err
	}
	_, err = methods.GetCurrentTime(ctx, c)
	return classify(ctx, err, "ask vCenter for its time")
}

// Close logs out. Snapshots must be closed or detached before.
func (p *Provider) Close(ctx context.Context) error { return p.login.close(ctx) }
