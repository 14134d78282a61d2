package vsphere

import (
	"context"
	"errors"
	"net"
	"net/url"
	"reflect"
	"time"

	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// soapTries is how often a repeatable call is made before its network error
// counts.
const soapTries = 4

// renewing repeats a SOAP call after the session was renewed, and a repeatable
// one after a network error. Log in and out pass through.
type renewing struct {
	login *login
	next  soap.RoundTripper
}

// RoundTrip makes one call.
func (r *renewing) RoundTrip(ctx context.Context, req, res soap.HasFault) (err error) {
	ctx, end := traced(ctx, req)
	defer func() { end(err) }()
	generation := r.login.generation.Load()
	err = r.try(ctx, req, res)
	if !vimfault.Is(err, &types.NotAuthenticated{}) || aboutSession(req) {
		return err
	}
	if err := r.login.renew(ctx, generation); err != nil {
		return err
	}
	blank(res)
	return r.try(ctx, req, res)
}

func (r *renewing) try(ctx context.Context, req, res soap.HasFault) error {
	wait := backoff{first: 100 * time.Millisecond, most: 2 * time.Second}
	for n := 1; ; n++ {
		err := r.next.RoundTrip(ctx, req, res)
		if err == nil || n == soapTries || !passing(err) || !repeatable(req) {
			return err
		}
		r.login.observer.retry("soap")
		if wait.sleep(ctx) != nil {
			return err
		}
		blank(res)
	}
}

// blank makes res as it was before the call: the decoder adds to what is there.
func blank(res soap.HasFault) { reflect.ValueOf(res).Elem().SetZero() }

func aboutSession(req soap.HasFault) bool {
	switch req.(type) {
	case *methods.LoginBody, *methods.LogoutBody:
		return true
	}
	return false
}

// passing tells whether err is of the network or of a proxy in front of
// vCenter (502, 503), not an answer to the call.
func passing(err error) bool {
	if soap.IsSoapFault(err) {
		return false
	}
	var op *net.OpError
	var u *url.Error
	return classifyTLS(err, "") == nil && (errors.As(err, &op) || errors.As(err, &u))
}

// repeatable tells whether a call may be made again although it may have been
// carried out already: it only reads, or doing it twice does no harm.
func repeatable(req soap.HasFault) bool {
	switch req.(type) {
	case *methods.RetrieveServiceContentBody, *methods.RetrievePropertiesExBody, *methods.CurrentTimeBody,
		*methods.CreateContainerViewBody, *methods.DestroyViewBody, *methods.QueryChangedDiskAreasBody,
		*methods.HttpNfcLeaseProgressBody, *methods.HttpNfcLeaseGetManifestBody,
		*methods.HttpNfcLeaseSetManifestChecksumTypeBody,
		*methods.HttpNfcLeaseCompleteBody, *methods.HttpNfcLeaseAbortBody:
		return true
	}
	return false
}
