package vsphere

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// forgetful is a ledger that is of no account here.
type forgetful struct{}

func (forgetful) Intend(context.Context, string, string) (string, error) { return "1", nil }
func (forgetful) Amend(context.Context, string, string) error            { return nil }
func (forgetful) Settle(context.Context, string) error                   { return nil }

// leasing is a vCenter that gives a lease of 300 seconds and answers each
// progress call as the test says.
func leasing(progress func(at time.Duration) error) answers {
	begin := time.Now()
	return func(req, res soap.HasFault) error {
		switch r := res.(type) {
		case *methods.ExportSnapshotBody:
			r.Res = &types.ExportSnapshotResponse{Returnval: types.ManagedObjectReference{Type: "HttpNfcLease", Value: "lease-1"}}
		case *methods.RetrievePropertiesExBody:
			state := types.HttpNfcLeaseStateInitializing
			if time.Since(begin) > time.Second {
				state = types.HttpNfcLeaseStateReady
			}
			answer(r, managed(asked(req), map[string]types.AnyType{"state": state, "info": types.HttpNfcLeaseInfo{LeaseTimeout: 300}}))
		case *methods.HttpNfcLeaseProgressBody:
			if err := progress(time.Since(begin)); err != nil {
				return err
			}
			r.Res = &types.HttpNfcLeaseProgressResponse{}
		case *methods.HttpNfcLeaseAbortBody:
			r.Res = &types.HttpNfcLeaseAbortResponse{}
		}
		return nil
	}
}

// A lease is renewed every 20 seconds, and survives a vCenter that does not
// answer for less than its time-out.
func TestLeaseIsKeptAlive(t *testing.T) {
	t.Parallel()
	unreachable := &url.Error{Op: "Post", URL: "/sdk", Err: errors.New("connection refused")}
	for _, c := range []struct {
		name string
		fail error
		from time.Duration // when vCenter begins to fail
		till time.Duration // and when it ends to
		lost time.Duration // by when the lease is lost; 0: never
	}{
		{name: "well"},
		{name: "away for four minutes", fail: unreachable, from: 10 * time.Minute, till: 14 * time.Minute},
		{name: "away for good", fail: unreachable, from: 10 * time.Minute, till: time.Hour, lost: 16 * time.Minute},
		{name: "ended", fail: soapFault(types.ManagedObjectNotFound{}), from: 10 * time.Minute, till: time.Hour, lost: 10*time.Minute + 21*time.Second},
		{name: "timed out", fail: soapFault(types.Timedout{}), from: 10 * time.Minute, till: time.Hour, lost: 10*time.Minute + 21*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var last, longest time.Duration
				vcenter := leasing(func(at time.Duration) error {
					longest, last = max(longest, at-last), at
					if c.fail != nil && at > c.from && at < c.till {
						return c.fail
					}
					return nil
				})
				z := &frozen{Provider: pretend(t, "vc.invalid", vcenter), options: provider.OpenOptions{Ledger: forgetful{}}}
				z.snapshot.Value = "snapshot-1"
				begin := time.Now()
				l, err := z.lease(t.Context())
				if err != nil {
					t.Fatal(fault.Detail(err))
				}
				select {
				case <-l.lost.Done():
					if at := time.Since(begin); c.lost == 0 || at > c.lost || !fault.Is(context.Cause(l.lost), fault.Unavailable) {
						t.Errorf("lost after %v: %v", at, context.Cause(l.lost))
					}
				case <-time.After(30 * time.Minute):
					if c.lost != 0 {
						t.Error("not lost")
					}
				}
				if err := l.end(t.Context(), false); err != nil { // also waits for the renewals
					t.Error(err)
				}
				if longest > 23*time.Second {
					t.Errorf("%v between two renewals", longest)
				}
			})
		})
	}
}
