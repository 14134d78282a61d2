package vsphere

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"

	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// rule says what a vSphere fault means for the caller.
type rule struct {
	is             func(types.BaseMethodFault) bool
	kind           fault.Kind
	code, why, fix string
}

// a tells whether a fault is of a type, or for the Base… interfaces of govmomi
// of one that derives from it.
func a[T any](f types.BaseMethodFault) bool {
	_, ok := f.(T)
	return ok
}

// rules are tried in order on each fault of the chain, the outermost first.
var rules = []rule{
	{a[*types.InvalidLogin], fault.Unauthenticated, "HX-VSPHERE-010", "vCenter refused the user name or the password", "check the user (with its domain) and the password"},
	{a[*types.NotAuthenticated], fault.Unauthenticated, "HX-VSPHERE-011", "the session is not accepted", "check that the account is not locked or limited"},
	{a[types.BaseNoPermission], fault.Denied, "HX-VSPHERE-012", "the account lacks a privilege", "grant the privileges that docs/vsphere.md lists"},
	{a[*types.RestrictedVersion], fault.Denied, "HX-VSPHERE-013", "the licence or the version of ESXi forbids it", "a free ESXi licence has a read-only API: use vCenter or a paid licence"},
	{a[*types.LicenseRestricted], fault.Denied, "HX-VSPHERE-013", "the licence or the version of ESXi forbids it", "a free ESXi licence has a read-only API: use vCenter or a paid licence"},
	{a[*types.ManagedObjectNotFound], fault.NotFound, "HX-VSPHERE-014", "the object does not exist any more", "it was deleted or moved meanwhile: list the VMs again"},
	{a[*types.InvalidPowerState], fault.Conflict, "HX-VSPHERE-015", "the power state of the VM does not allow it", "retry when nobody else changes the VM's power state"},
	{a[*types.TooManySnapshotLevels], fault.Unprocessable, "HX-VSPHERE-016", "the VM has too many snapshots", "delete old snapshots of the VM (32 in a chain is the limit)"},
	{a[*types.NoDiskSpace], fault.Exhausted, "HX-VSPHERE-017", "the datastore is full", "free space on the VM's datastore: a snapshot needs room for what the guest writes meanwhile"},
	{a[types.BaseInsufficientResourcesFault], fault.Exhausted, "HX-VSPHERE-018", "the host lacks resources for it", "retry later, or run fewer exports on this host at a time"},
	{a[types.BaseTaskInProgress], fault.Unavailable, "HX-VSPHERE-019", "another task runs on the VM", "wait for the task in vCenter"},
	{a[*types.ConcurrentAccess], fault.Unavailable, "HX-VSPHERE-019", "another task runs on the VM", "wait for the task in vCenter"},
	{a[*types.FileLocked], fault.Unavailable, "HX-VSPHERE-020", "a file of the VM is locked", "another backup or a stale snapshot may hold it: look for other tasks on the VM"},
	{a[types.BaseFileFault], fault.Unavailable, "HX-VSPHERE-027", "a file of the VM cannot be used", "look at the VM's events and at its datastore"},
	{a[types.BaseSnapshotFault], fault.Unprocessable, "HX-VSPHERE-021", "the VM cannot be frozen by a snapshot", "look at the VM's events in vCenter; independent disks and passthrough devices forbid snapshots"},
	{a[types.BaseNotSupported], fault.Unprocessable, "HX-VSPHERE-022", "this VM or server does not support it", "see docs/vsphere.md for what an export needs"},
	{a[*types.Timedout], fault.Timeout, "HX-VSPHERE-023", "vCenter gave up waiting", "retry; look at the host's load and at the VM's tasks"},
	{a[types.BaseHostCommunication], fault.Unavailable, "HX-VSPHERE-024", "vCenter does not reach the ESXi host", "look at the host in vCenter"},
	{a[types.BaseInvalidState], fault.Conflict, "HX-VSPHERE-025", "the state of the object does not allow it", "another operation may run on the VM: retry when it has ended"},
	{a[*types.RequestCanceled], fault.Unavailable, "HX-VSPHERE-026", "somebody cancelled the task in vCenter", "retry"},
}

// diagnose finds the rule for an error, and what vCenter says beside the type.
func diagnose(err error) (found *rule, says string) {
	judge := func(f types.BaseMethodFault, message string, more []types.LocalizableMessage) bool {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.is(f) })
		if i < 0 {
			return false
		}
		found = &rules[i]
		if p, ok := f.(types.BaseNoPermission); ok {
			says = p.GetNoPermission().PrivilegeId
		}
		for _, m := range more { // more precise than the localized message
			says = cmp.Or(says, m.Message)
		}
		says = cmp.Or(says, message)
		return true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		switch err.(type) { //nolint:errorlint // the loop unwraps
		case types.HasLocalizedMethodFault, interface{ Fault() types.BaseMethodFault }:
			vimfault.In(err, judge)
			return found, says
		}
	}
	return nil, ""
}

// classify turns an error of govmomi or of the network into a fault.Error that
// says what failed and what to do. doing completes "cannot …". An error that is
// classified already stays as it is; after ctx has ended its cause is returned.
func classify(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	if _, done := errors.AsType[*fault.Error](err); done {
		return err
	}
	if r, says := diagnose(err); r != nil {
		msg := "cannot " + doing + ": " + r.why
		if says != "" {
			msg += " (" + says + ")"
		}
		return fault.Wrap(err, r.kind, r.code, msg, r.fix)
	}
	if e := classifyTLS(err, doing); e != nil {
		return e
	}
	return classifyNetwork(err, doing)
}

// classifyTLS recognises a server that is not trusted; nil otherwise.
func classifyTLS(err error, doing string) error {
	const code, msg = "HX-VSPHERE-030", ": the server's certificate is not trusted"
	var leaf *x509.Certificate
	var pinned *thumbprintError
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &pinned):
		leaf = pinned.leaf
	case errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0:
		leaf = bad.UnverifiedCertificates[0]
	default:
		return nil
	}
	return fault.Wrap(err, fault.Unprocessable, code, "cannot "+doing+msg+" ("+reason(err)+")",
		"give its CA (vsphere.ca_file, GOVC_TLS_CA_CERTS), or if its SHA-256 thumbprint is right, pin it: vsphere.thumbprint: "+
			thumbprint(leaf)+" (GOVC_INSECURE=true trusts anybody)")
}

// reason names the case without the text of the library, which repeats much.
func reason(err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return "it is signed by an unknown authority"
	case errors.As(err, &host):
		return "it is made out to another host name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not yet valid"
	}
	return "it is not the expected one"
}

// classifyNetwork is the end of the line: the server cannot be reached, or what
// it says is not understood. All of it may pass, so it is Unavailable.
func classifyNetwork(err error, doing string) error {
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	wrap := func(code, why, fix string) error {
		return fault.Wrap(err, fault.Unavailable, code, "cannot "+doing+": "+why, fix)
	}
	switch {
	case errors.As(err, &dns):
		return wrap("HX-VSPHERE-031", "the name "+dns.Name+" does not resolve",
			"check the host name and this machine's DNS")
	case errors.As(err, &op) && op.Op == "dial":
		return wrap("HX-VSPHERE-032", "no connection to "+op.Addr.String(),
			"check address, port, routing and firewalls between this machine and vCenter (443) or the ESXi host (443, 902)")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &op):
		return cut(err)
	}
	text := err.Error()
	if u, ok := errors.AsType[*url.Error](err); ok {
		text = u.Err.Error() // without the URL: that of a lease holds its secret
	}
	return wrap("HX-VSPHERE-034", "vSphere answered with an error: "+text, "look at the VM's events and tasks in vCenter")
}
