package vcsim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// api implements the methods that the simulator lacks or does differently. The
// hook redirects calls to it by changing the receiver of the decoded call:
// replacing the object itself would break the simulator's type assertions, and
// an object returned by the hook loses against the session's own registry.
//
// Its methods are found by name, like all of the simulator's. It has no lock:
// they take that of the machine they work on.
type api struct {
	mo.ServiceInstance // only for Self; the registry wants a managed object
	srv                *Server
}

// Lock does nothing; it opts out of the simulator's lock around every call.
func (*api) Lock() {}

// Unlock does nothing.
func (*api) Unlock() {}

// extension is where the registry keeps the api object.
var extension = types.ManagedObjectReference{Type: "HypersdkExtension", Value: "hypersdk"}

// redirected lists by receiver type what api implements.
var redirected = map[string][]string{
	"VirtualMachine": {
		"CreateSnapshot_Task", "CreateSnapshotEx_Task", "RemoveAllSnapshots_Task", "RevertToCurrentSnapshot_Task",
		"QueryChangedDiskAreas", "ExportVm", "PowerOnVM_Task",
	},
	"VirtualMachineSnapshot": {"RemoveSnapshot_Task", "RevertToSnapshot_Task", "ExportSnapshot"},
	"OvfManager":             {"CreateDescriptor"},
}

// open lists what vCenter answers without a session.
var open = []string{
	"Login", "LoginByToken", "LoginExtensionByCertificate", "CloneSession",
	"RetrieveServiceContent", "RetrieveInternalContent",
}

// hook takes every call to the simulator before it is dispatched.
func (s *Server) hook() {
	ext := &api{srv: s}
	ext.Self = extension
	s.registry.Put(ext)
	s.registry.Handler = func(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
		if ctx.Session == nil && !slices.Contains(open, m.Name) && !onServiceInstance(m) {
			return nil, &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &m.This, PrivilegeId: "System.View"}}
		}
		if slices.Contains(redirected[m.This.Type], m.Name) {
			if s.registry.Get(m.This) != nil {
				m.This = extension
			}
		}
		if w, ok := m.Body.(*types.WaitForUpdatesEx); ok {
			boundWait(w)
		}
		return nil, nil
	}
}

// onServiceInstance tells whether a call reads the service instance, which
// needs no session: clients negotiate the API version with it.
func onServiceInstance(m *simulator.Method) bool { return m.This.Type == "ServiceInstance" }

// boundWait makes an unbounded wait for updates return empty after a second,
// as servers may at any time: the simulator does not notice a client that went
// away, or a session that ended.
func boundWait(w *types.WaitForUpdatesEx) {
	if w.Options == nil {
		w.Options = &types.WaitOptions{}
	}
	if w.Options.MaxWaitSeconds == nil {
		w.Options.MaxWaitSeconds = new(int32(1))
	}
}
