package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// root may reach all tenants.
func root() tenant.Principal { return tenant.NewPrincipal(tenant.Default, "root", tenant.All()...) }

func (w *world) platform() tenant.PlatformScope {
	w.Helper()
	p, err := root().Platform(tenant.PlatformWrite)
	w.must(err)
	return p
}

// found makes the tenant ours.
func (w *world) found(l tenant.Limits) {
	w.Helper()
	l.Weight = 1
	w.must(w.CreateTenant(w.ctx, w.platform(), tenant.Account{ID: "ours", Name: "Ours", State: tenant.Active, Limits: l, CreatedAt: w.now()}))
}

// service is the service on the store.
func (w *world) service() *service.Service {
	return service.New(w.Store, service.Deps{Validator: anything{}, Feed: w.Store, Now: w.now})
}

type anything struct{}

func (anything) Validate(context.Context, job.Spec) error { return nil }

func testAPIKeys(w *world) {
	w.found(tenant.Limits{})
	expires := w.now().Add(time.Hour)
	k := tenant.Key{
		ID: "k1", Tenant: "ours", Name: "ci", Role: tenant.Operator, Scopes: []tenant.Permission{tenant.JobRead, tenant.JobSubmit},
		CreatedBy: "tester", CreatedAt: w.now(), ExpiresAt: &expires,
	}
	k.Seal(tenant.NewSecret())
	w.must(w.CreateKey(w.ctx, w.ours, k))
	got, found, err := w.KeyByDigest(w.ctx, k.Digest)
	w.must(err)
	if !found || !reflect.DeepEqual(got, k) {
		w.Fatalf("stored %+v\nread   %+v", k, got)
	}
	if _, found, err = w.KeyByDigest(w.ctx, tenant.Digest{}); err != nil || found {
		w.Errorf("a key that is none: %v %v", found, err)
	}
	for name, err := range map[string]error{
		"stranger":   w.CreateKey(w.ctx, w.theirs, k),
		"zero scope": w.CreateKey(w.ctx, tenant.Scope{}, k),
	} {
		if !fault.Is(err, fault.Denied) {
			w.Errorf("%s: %v", name, err)
		}
	}
	w.wantKind(w.ChangeKey(w.ctx, w.theirs, "k1", func(_, _ *tenant.Key) error { return nil }), fault.NotFound)

	// The last use is noted to the minute.
	first := w.now()
	for range 3 {
		w.must(w.KeyUsed(w.ctx, "k1", w.now()))
		w.advance(25 * time.Second)
	}
	got, _, err = w.KeyByDigest(w.ctx, k.Digest)
	w.must(err)
	if got.LastUsedAt == nil || !got.LastUsedAt.Equal(first) {
		w.Errorf("last used at %v, want %v", got.LastUsedAt, first)
	}

	// A change and the key that follows are stored together, or not at all.
	after := k
	after.ID = "k2"
	rotate := func(k, next *tenant.Key) error {
		now := w.now()
		k.RevokedAt = &now
		*next = after
		return nil
	}
	w.wantKind(w.ChangeKey(w.ctx, w.ours, "k1", rotate), fault.Internal) // the digest is there already
	if got, _, err = w.KeyByDigest(w.ctx, k.Digest); err != nil || got.RevokedAt != nil {
		w.Errorf("half a change is stored: %+v %v", got, err)
	}
	after.Seal(tenant.NewSecret())
	w.must(w.ChangeKey(w.ctx, w.ours, "k1", rotate))
	keys, err := w.Keys(w.ctx, w.ours)
	w.must(err)
	if len(keys) != 2 || keys[0].RevokedAt == nil || keys[1].ID != "k2" {
		w.Errorf("keys %+v", keys)
	}
	if strangers, err := w.Keys(w.ctx, w.theirs); err != nil || len(strangers) != 0 {
		w.Errorf("a stranger sees %v %v", strangers, err)
	}
	w.wantEvents(event.TenantCreated, event.KeyCreated, event.KeyRotated)

	// Keys that died long ago are forgotten with the next one.
	w.advance(91 * 24 * time.Hour)
	last := tenant.Key{ID: "k3", Tenant: "ours", Name: "new", Role: tenant.Viewer, CreatedAt: w.now()}
	last.Seal(tenant.NewSecret())
	w.must(w.CreateKey(w.ctx, w.ours, last))
	if keys, err = w.Keys(w.ctx, w.ours); err != nil || len(keys) != 1 || keys[0].ID != "k3" {
		w.Errorf("keys %+v, %v", keys, err)
	}
}

// wantEvents compares the events of ours that are about no job.
func (w *world) wantEvents(want ...event.Kind) {
	w.Helper()
	if got := w.kinds(""); !slices.Equal(got, want) {
		w.Errorf("events %v, want %v", got, want)
	}
}

func testDirectory(w *world) {
	all, err := w.Tenants(w.ctx, w.platform())
	w.must(err)
	if len(all) != 1 || all[0].ID != tenant.Default || all[0].State != tenant.Active || all[0].Limits != (tenant.Limits{Weight: 1}) {
		w.Fatalf("at first there is %+v", all)
	}
	a := tenant.Account{
		ID: "ours", Name: "Ours", State: tenant.Active, Paused: true, CreatedAt: w.now(), StoredBytes: 6,
		Limits: tenant.Limits{Weight: 2, MaxConcurrentJobs: 3, MaxQueuedJobs: 4, MaxStorageBytes: 5 << 40, MaxBandwidthBytes: 6 << 40},
	}
	w.must(w.CreateTenant(w.ctx, w.platform(), a))
	w.wantKind(w.CreateTenant(w.ctx, w.platform(), a), fault.Conflict)
	w.wantKind(w.CreateTenant(w.ctx, tenant.PlatformScope{}, a), fault.Denied)
	_, err = w.Tenants(w.ctx, tenant.PlatformScope{})
	w.wantKind(err, fault.Denied)
	got, err := w.Tenant(w.ctx, w.ours)
	w.must(err)
	if got != a {
		w.Fatalf("stored %+v\nread   %+v", a, got)
	}
	_, err = w.Tenant(w.ctx, w.theirs)
	w.wantKind(err, fault.NotFound)
	for range 2 { // the second changes nothing
		got, err = w.ChangeTenant(w.ctx, w.platform(), "ours", func(a *tenant.Account) error {
			a.Paused, a.Weight, a.MaxQueuedJobs = false, 7, 0
			return nil
		})
		w.must(err)
	}
	if got.Paused || got.Weight != 7 || got.MaxQueuedJobs != 0 || got.MaxConcurrentJobs != 3 {
		w.Errorf("changed to %+v", got)
	}
	_, err = w.ChangeTenant(w.ctx, w.platform(), "ours", func(a *tenant.Account) error {
		a.Weight = 9
		return errTest
	})
	if got, _ := w.Tenant(w.ctx, w.ours); err == nil || got.Weight != 7 {
		w.Errorf("a refused change is stored: %+v, %v", got, err)
	}
	_, err = w.ChangeTenant(w.ctx, w.platform(), "nobody", func(*tenant.Account) error { return nil })
	w.wantKind(err, fault.NotFound)
	w.wantEvents(event.TenantCreated, event.TenantChanged)
}

// testQuotaRace: however many submit at once, no more jobs wait than may.
func testQuotaRace(w *world) {
	const limit, clients = 50, 200
	w.found(tenant.Limits{MaxQueuedJobs: limit})
	svc, us := w.service(), tenant.NewPrincipal("ours", "us", tenant.All()...)
	w.submitTo(w.theirs) // others do not count

	var (
		mu                sync.Mutex
		accepted, refused int
		wg                sync.WaitGroup
		one, two          = []job.Spec{{VMPath: "/a"}}, []job.Spec{{VMPath: "/a"}, {VMPath: "/b"}}
		codes             = map[string]int{}
		unexpected        []string
	)
	for i := range clients {
		wg.Go(func() {
			specs := one
			if i%2 == 1 {
				specs = two
			}
			r, err := svc.Submit(w.ctx, us, specs, service.SubmitOptions{IdempotencyKey: fmt.Sprint("k", i)})
			mu.Lock()
			defer mu.Unlock()
			accepted += len(r.Jobs)
			refused += len(r.Refused)
			for _, f := range r.Refused {
				codes[f.Error.Code]++
			}
			if err != nil && (!fault.Is(err, fault.Exhausted) || len(r.Jobs) > 0 || len(r.Refused) != len(specs)) {
				unexpected = append(unexpected, fmt.Sprintf("%+v %v", r, err))
			}
		})
	}
	wg.Wait()
	stored, err := w.Reader(w.ours).Count(w.ctx, service.Query{}, 1000)
	w.must(err)
	if stored != limit || accepted != limit || accepted+refused != clients*3/2 || codes["HX-QUOTA-001"] != refused || len(unexpected) > 0 {
		w.Errorf("%d are stored, %d accepted, %d refused %v; %v", stored, accepted, refused, codes, unexpected)
	}

	// A refused request left nothing: its key is fresh when there is room.
	w.claim() // theirs
	w.claim()
	r, err := svc.Submit(w.ctx, us, two, service.SubmitOptions{IdempotencyKey: "later"})
	w.must(err)
	if len(r.Jobs) != 1 || len(r.Refused) != 1 || r.Refused[0].Index != 1 {
		w.Errorf("with room for one: %+v", r)
	}
	again, err := svc.Submit(w.ctx, us, two, service.SubmitOptions{IdempotencyKey: "later"})
	w.must(err)
	if !again.Replayed || again.Jobs[0].ID != r.Jobs[0].ID || len(again.Refused) != 1 {
		w.Errorf("replayed %+v", again)
	}
}

func testStorageQuota(w *world) {
	w.found(tenant.Limits{MaxStorageBytes: 100})
	svc, us := w.service(), tenant.NewPrincipal("ours", "us", tenant.All()...)
	spec := []job.Spec{{VMPath: "/a"}}
	for i, bytes := range []int64{99, 1, 0} {
		r, err := svc.Submit(w.ctx, us, spec, service.SubmitOptions{})
		if i == 2 {
			w.wantKind(err, fault.Exhausted)
			if fault.As(err).Code != "HX-QUOTA-002" || len(r.Jobs) != 0 {
				w.Errorf("%v %+v", err, r)
			}
			break
		}
		w.must(err)
		w.apply(w.claim(), job.CompleteWith("a", job.Outcome{Artifacts: []job.Artifact{{Name: "x", Bytes: bytes}}}))
	}
	zero := int64(0)
	a, err := svc.ChangeTenant(w.ctx, root(), "ours", service.TenantChange{StoredBytes: &zero}) // they were removed by hand
	w.must(err)
	if a.StoredBytes != 0 {
		w.Errorf("%+v", a)
	}
	_, err = svc.Submit(w.ctx, us, spec, service.SubmitOptions{})
	w.must(err)
}
