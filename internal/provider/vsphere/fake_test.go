package vsphere

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// answers is a vCenter that answers calls as the test says.
type answers func(req, res soap.HasFault) error

func (f answers) RoundTrip(_ context.Context, req, res soap.HasFault) error { return f(req, res) }

// pretend makes a provider that is logged in to such a vCenter.
func pretend(t *testing.T, url string, f answers) *Provider {
	t.Helper()
	p, err := New(Config{URL: url, Username: "u", Insecure: true}, slog.New(slog.DiscardHandler), Observer{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.login.transport.CloseIdleConnections)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	sc := &soap.Client{}
	sc.Jar = jar
	p.login.client.Store(&vim25.Client{Client: sc, RoundTripper: f})
	return p
}

// managed is one object of an answer of the property collector.
func managed(ref types.ManagedObjectReference, properties map[string]types.AnyType) types.ObjectContent {
	o := types.ObjectContent{Obj: ref}
	for name, value := range properties {
		o.PropSet = append(o.PropSet, types.DynamicProperty{Name: name, Val: value})
	}
	return o
}

// asked returns the object that a call of the property collector is about.
func asked(req soap.HasFault) types.ManagedObjectReference {
	return req.(*methods.RetrievePropertiesExBody).Req.SpecSet[0].ObjectSet[0].Obj
}

func answer(res *methods.RetrievePropertiesExBody, objects ...types.ObjectContent) {
	res.Res = &types.RetrievePropertiesExResponse{Returnval: &types.RetrieveResult{Objects: objects}}
}

// The process died right after it had asked for a snapshot: the task still
// runs when the janitor comes, and the snapshot appears only at its end.
func TestSettleWaitsForARunningTask(t *testing.T) {
	t.Parallel()
	ref := snapshotRef{VM: "vm-1", Name: "hypervisord-1", Nonce: "n"}
	made := types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: "snapshot-1"}
	creating := types.ManagedObjectReference{Type: "Task", Value: "task-1"}
	removing := types.ManagedObjectReference{Type: "Task", Value: "task-2"}
	polls, removed := 0, 0
	p := pretend(t, "vc.invalid", func(req, res soap.HasFault) error {
		switch r := res.(type) {
		case *methods.RetrievePropertiesExBody:
			switch of := asked(req); of.Type {
			case "VirtualMachine":
				info := types.VirtualMachineSnapshotInfo{}
				if polls > 2 {
					info.RootSnapshotList = []types.VirtualMachineSnapshotTree{
						{Name: ref.Name, Description: "somebody else's", Snapshot: types.ManagedObjectReference{Value: "other"}},
						{Name: ref.Name, Description: ref.description(), Snapshot: made},
					}
				}
				answer(r, managed(of, map[string]types.AnyType{
					"name": "x", "snapshot": info, "recentTask": types.ArrayOfManagedObjectReference{ManagedObjectReference: []types.ManagedObjectReference{creating}},
				}))
			case "Task":
				info := types.TaskInfo{Task: of, State: types.TaskInfoStateSuccess}
				if of == creating {
					info.DescriptionId = "VirtualMachine.createSnapshot"
					if polls++; polls <= 2 {
						info.State = types.TaskInfoStateRunning
					}
				}
				answer(r, managed(of, map[string]types.AnyType{"info": info}))
			}
		case *methods.RemoveSnapshot_TaskBody:
			if this := req.(*methods.RemoveSnapshot_TaskBody).Req.This; this != made {
				t.Errorf("removes %v", this)
			}
			removed++
			r.Res = &types.RemoveSnapshot_TaskResponse{Returnval: removing}
		}
		return nil
	})
	if err := p.settleSnapshot(t.Context(), &ref); err != nil {
		t.Fatal(err)
	}
	if polls < 3 || removed != 1 {
		t.Errorf("%d polls of the task, %d removals", polls, removed)
	}
}

// Where changed block tracking does not answer, or not credibly, the rest of
// the disk is read.
func TestAllocatedIsCareful(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	v := &volume{}
	v.CapacityBytes = size
	page := func(start, length int64, areas ...extent) types.DiskChangeInfo {
		info := types.DiskChangeInfo{StartOffset: start, Length: length}
		for _, a := range areas {
			info.ChangedArea = append(info.ChangedArea, types.DiskChangeExtent{Start: a.off, Length: a.end - a.off})
		}
		return info
	}
	first := page(0, 10<<20, extent{0, 1 << 20})
	rest := extent{10 << 20, size}
	for _, c := range []struct {
		name   string
		second *types.DiskChangeInfo // nil: a fault
		want   []extent
	}{
		{"all", new(page(10<<20, size-10<<20, extent{50 << 20, 51 << 20})), []extent{{0, 1 << 20}, {50 << 20, 51 << 20}}},
		{"fault", nil, []extent{{0, 1 << 20}, rest}},
		{"no length", new(page(10<<20, 0)), []extent{{0, 1 << 20}, rest}},
		{"negative length", new(page(10<<20, -1)), []extent{{0, 1 << 20}, rest}},
		{"begins later", new(page(20<<20, 80<<20)), []extent{{0, 1 << 20}, rest}},
		{"outside", new(page(10<<20, 90<<20, extent{99 << 20, 101 << 20})), []extent{{0, 1 << 20}, rest}},
		{"backwards", new(page(10<<20, 90<<20, extent{50 << 20, 40 << 20})), []extent{{0, 1 << 20}, rest}},
	} {
		calls := 0
		p := pretend(t, "vc.invalid", func(_, res soap.HasFault) error {
			r := res.(*methods.QueryChangedDiskAreasBody)
			calls++
			switch {
			case calls == 1:
				r.Res = &types.QueryChangedDiskAreasResponse{Returnval: first}
			case c.second == nil:
				return soapFault(types.FileFault{})
			default:
				r.Res = &types.QueryChangedDiskAreasResponse{Returnval: *c.second}
			}
			return nil
		})
		z := &frozen{Provider: p}
		if got := slices.Collect(z.allocated(t.Context(), v)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A file must stay what it was at its first answer, and Range must be honoured.
func TestFileIsPinned(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 1000)
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	serve := func(w http.ResponseWriter, r *http.Request, modified time.Time, etag, body string) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "x", modified, strings.NewReader(body))
	}
	for _, c := range []struct {
		name  string
		later http.HandlerFunc // answers after the first
		kind  fault.Kind
	}{
		{"same", func(w http.ResponseWriter, r *http.Request) { serve(w, r, day, "", content) }, 0},
		{"modified", func(w http.ResponseWriter, r *http.Request) { serve(w, r, day.Add(time.Second), "", content) }, fault.Conflict},
		{"another size", func(w http.ResponseWriter, r *http.Request) { serve(w, r, day, "", content+"x") }, fault.Conflict},
		{"an ETag appears", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			serve(w, r, day, `"new"`, content)
		}, fault.Conflict},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, fault.Conflict},
		{"shorter", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			serve(w, r, day, "", "x")
		}, fault.Conflict},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, fault.Denied},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.invalid", http.StatusFound)
		}, fault.Unavailable},
		{"wrong range", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-1")
			serve(w, r, day, "", content)
		}, fault.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					serve(w, r, day, "", content)
					return
				}
				c.later(w, r)
			}))
			defer host.Close()
			p := pretend(t, host.URL, nil)
			f, err := p.login.open(t.Context(), datastore{name: "ds", datacenter: "DC"}, "[ds] x/x-flat.vmdk", nil)
			if err != nil {
				t.Fatal(err)
			}
			f.tries = 2
			a, b := make([]byte, 30), make([]byte, 20)
			err = f.readAt(t.Context(), 15, [][]byte{a, b})
			if c.kind != 0 {
				if !fault.Is(err, c.kind) {
					t.Errorf("%v: %s", err, fault.Detail(err))
				}
			} else if err != nil || string(a)+string(b) != content[15:65] {
				t.Errorf("%v: %q %q", err, a, b)
			}
		})
	}
}

func TestServerWithoutRange(t *testing.T) {
	t.Parallel()
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "all of it")
	}))
	defer host.Close()
	_, err := pretend(t, host.URL, nil).login.open(t.Context(), datastore{}, "[ds] x", nil)
	if !fault.Is(err, fault.Unprocessable) {
		t.Error(err)
	}
	_, err = pretend(t, host.URL, nil).login.open(t.Context(), datastore{}, "no datastore", nil)
	if !fault.Is(err, fault.Unprocessable) {
		t.Error(err)
	}
}

func TestScatter(t *testing.T) {
	t.Parallel()
	s := &scatter{pieces: [][]byte{make([]byte, 3), make([]byte, 5), make([]byte, 2)}}
	var got strings.Builder
	for _, part := range []string{"ab", "cdef", "g", "hij"} { // four requests, three of them cut
		err := s.readFrom(strings.NewReader(part))
		if last := part == "hij"; last != (err == nil) || !last && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", part, err)
		}
	}
	for _, p := range s.pieces {
		got.Write(p)
	}
	if got.String() != "abcdefghij" || s.filled != s.total() {
		t.Errorf("%q, %d of %d", got.String(), s.filled, s.total())
	}
}
