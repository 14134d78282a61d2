package vsphere

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func soapFault(f types.AnyType) error {
	s := &soap.Fault{Code: "ServerFaultCode", String: "text"}
	s.Detail.Fault = f
	return soap.WrapSoapFault(s)
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		kind fault.Kind
		says string
	}{
		{soapFault(types.InvalidLogin{}), fault.Unauthenticated, "password"},
		{soapFault(types.NoPermission{PrivilegeId: "VirtualMachine.State.CreateSnapshot"}), fault.Denied, "(VirtualMachine.State.CreateSnapshot)"},
		{soapFault(types.ManagedObjectNotFound{}), fault.NotFound, "does not exist"},
		{soapFault(types.InvalidPowerState{}), fault.Conflict, "power state"},
		{soapFault(types.InvalidDatastoreState{}), fault.Conflict, "state"},
		{soapFault(types.HostNotReachable{}), fault.Unavailable, "ESXi host"},
		{soapFault(types.RestrictedVersion{}), fault.Denied, "licence"},
		{&task.Error{LocalizedMethodFault: &types.LocalizedMethodFault{Fault: &types.ApplicationQuiesceFault{}, LocalizedMessage: "no quiescing"}}, fault.Unprocessable, "(no quiescing)"},
		{&task.Error{LocalizedMethodFault: &types.LocalizedMethodFault{Fault: &types.NoDiskSpace{}}}, fault.Exhausted, "full"},
		{&task.Error{LocalizedMethodFault: &types.LocalizedMethodFault{Fault: &types.SystemError{
			RuntimeFault: types.RuntimeFault{MethodFault: types.MethodFault{FaultCause: &types.LocalizedMethodFault{Fault: &types.FileLocked{}}}},
		}}}, fault.Unavailable, "locked"},
		{soapFault(types.SystemError{}), fault.Unavailable, "vSphere answered with an error"},
		{&url.Error{Op: "Post", URL: "u", Err: &net.DNSError{Name: "vc.example", IsNotFound: true}}, fault.Unavailable, "vc.example does not resolve"},
		{&net.OpError{Op: "dial", Addr: &net.TCPAddr{Port: 443}, Err: errors.New("refused")}, fault.Unavailable, "no connection to :443"},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, fault.Unavailable, "cut"},
		{fmt.Errorf("x: %w", io.ErrUnexpectedEOF), fault.Unavailable, "cut"},
		{fault.New(fault.Exhausted, "X", "already", ""), fault.Exhausted, "already"},
	} {
		err := classify(t.Context(), c.err, "do it")
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%T: %v %v, want %v with %q", c.err, fault.KindOf(err), err, c.kind, c.says)
		}
	}
	if classify(t.Context(), nil, "x") != nil {
		t.Error("no error became one")
	}
	why := fault.New(fault.Unavailable, "Y", "the reason", "")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := classify(ctx, io.EOF, "x"); !errors.Is(err, why) {
		t.Errorf("%v does not say why the context ended", err)
	}
}

func TestRulesExplainThemselves(t *testing.T) {
	t.Parallel()
	for _, r := range rules {
		if r.code == "" || r.why == "" || r.fix == "" || r.kind == fault.Internal {
			t.Errorf("%+v", r)
		}
	}
}
