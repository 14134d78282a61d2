package vsphere

import (
	"context"
	"encoding/json"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// Settle removes what a crash left: a snapshot, found by its name and nonce
// even if its MoRef was never recorded, or a lease. It is idempotent. Kind
// Unprocessable: the entry is of another vCenter, or cannot be read.
func (p *Provider) Settle(ctx context.Context, e provider.LedgerEntry) error {
	switch e.Kind {
	case kindSnapshot:
		var ref snapshotRef
		if err := json.Unmarshal([]byte(e.Ref), &ref); err != nil || ref.Nonce == "" {
			return unreadable(err, &e)
		}
		return p.settleSnapshot(ctx, &ref)
	case kindLease:
		var ref leaseRef
		if err := json.Unmarshal([]byte(e.Ref), &ref); err != nil {
			return unreadable(err, &e)
		}
		return p.settleLease(ctx, &ref)
	}
	return unreadable(nil, &e)
}

func unreadable(err error, e *provider.LedgerEntry) error {
	return &fault.Error{
		Kind: fault.Unprocessable, Code: "HX-VSPHERE-073", Err: err,
		Msg: "the ledger has an entry of kind " + e.Kind + " that this version does not understand",
		Fix: "remove its object in vCenter by hand: " + e.Ref,
	}
}

// settleLease aborts a lease. One without MoRef, or of another vCenter, ends by
// itself within minutes, as nobody renews it.
func (p *Provider) settleLease(ctx context.Context, ref *leaseRef) error {
	if ref.Lease == "" {
		return nil
	}
	c, err := p.login.connect(ctx)
	if err != nil {
		return err
	}
	if c.ServiceContent.About.InstanceUuid != ref.VCenter {
		return nil
	}
	err = abort(ctx, c, types.ManagedObjectReference{Type: "HttpNfcLease", Value: ref.Lease})
	if err != nil && ended(err) {
		return nil
	}
	return classify(ctx, err, "abort an NFC lease")
}
