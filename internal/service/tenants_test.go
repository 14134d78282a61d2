package service_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (b *bench) as(id tenant.ID, r tenant.Role) tenant.Principal {
	return tenant.NewPrincipal(id, string(r), r.Permissions()...)
}

func (b *bench) key(p tenant.Principal, r service.KeyRequest) service.NewKey {
	b.Helper()
	k, err := b.svc.CreateKey(b.Context(), p, "", r)
	b.must(err)
	return k
}

// holder signs in with a key.
func (b *bench) holder(k service.NewKey) (tenant.Principal, error) {
	b.Helper()
	kept, found, err := b.store.KeyByDigest(b.Context(), k.Key.Digest)
	b.must(err)
	if !found {
		b.Fatal("the key is not stored")
	}
	return kept.Principal(b.deps.Now())
}

// Nobody gets more than the giver has: not by a new key, and not by taking over
// or ending one that is there.
func TestKeysGiveNoMoreThanTheGiverHas(t *testing.T) {
	on(t, func(b *bench) {
		b.deps.Now = time.Now
		admin := b.as("ours", tenant.Admin)
		some := tenant.NewPrincipal("ours", "key manager", tenant.KeyWrite, tenant.JobRead)
		strong := b.key(b.us, service.KeyRequest{Name: "strong", Role: tenant.Platform})
		for name, c := range map[string]struct {
			who  tenant.Principal
			r    service.KeyRequest
			kind fault.Kind
		}{
			"platform by admin":      {admin, service.KeyRequest{Name: "x", Role: tenant.Platform}, fault.Denied},
			"operator by few rights": {some, service.KeyRequest{Name: "x", Role: tenant.Operator}, fault.Denied},
			"scope beyond":           {some, service.KeyRequest{Name: "x", Role: tenant.Operator, Scopes: []tenant.Permission{tenant.JobSubmit}}, fault.Denied},
			"no right to keys":       {b.as("ours", tenant.Operator), service.KeyRequest{Name: "x", Role: tenant.Viewer}, fault.Denied},
			"no name":                {admin, service.KeyRequest{Role: tenant.Viewer}, fault.Unprocessable},
		} {
			if _, err := b.svc.CreateKey(b.Context(), c.who, "", c.r); !fault.Is(err, c.kind) {
				b.Errorf("%s: %v", name, err)
			}
		}
		_, err := b.svc.RotateKey(b.Context(), admin, strong.Key.ID, 0)
		b.wantKind(err, fault.Denied)
		_, err = b.svc.RevokeKey(b.Context(), admin, "", strong.Key.ID)
		b.wantKind(err, fault.Denied)
		if _, err := b.holder(strong); err != nil {
			b.Errorf("the refused requests changed the key: %v", err)
		}
		weak := b.key(some, service.KeyRequest{Name: "x", Role: tenant.Operator, Scopes: []tenant.Permission{tenant.JobRead}})
		p, err := b.holder(weak)
		b.must(err)
		if _, err := b.svc.Query(b.Context(), p, service.Query{}); err != nil {
			b.Error(err)
		}
		if _, err := b.svc.Cancel(b.Context(), p, "x", ""); !fault.Is(err, fault.Denied) {
			b.Error(err)
		}
		keys, err := b.svc.Keys(b.Context(), admin, "")
		b.must(err)
		if len(keys) != 2 || keys[0].CreatedBy != "us" || keys[1].CreatedBy != "key manager" {
			b.Errorf("%+v", keys)
		}
	})
}

func TestRotateAndRevoke(t *testing.T) {
	on(t, func(b *bench) {
		now := time.Now().UTC().Truncate(time.Microsecond) // the store's clock: it forgets what died long ago
		b.deps.Now = func() time.Time { return now }
		b.svc = service.New(b.store, b.deps)
		expires := now.Add(100 * time.Hour)
		old := b.key(b.us, service.KeyRequest{Name: "ci", Role: tenant.Operator, ExpiresAt: &expires})
		now = now.Add(10 * time.Hour)
		next, err := b.svc.RotateKey(b.Context(), b.us, old.Key.ID, 24*time.Hour)
		b.must(err)
		if next.Key.Name != "ci" || next.Key.Role != tenant.Operator || !next.Key.ExpiresAt.Equal(now.Add(100*time.Hour)) || next.Secret.Reveal() == old.Secret.Reveal() {
			b.Errorf("%+v", next.Key)
		}
		now = now.Add(24*time.Hour - time.Second)
		for _, k := range []service.NewKey{old, next} {
			if _, err := b.holder(k); err != nil {
				b.Error(err)
			}
		}
		now = now.Add(time.Second)
		if _, err := b.holder(old); !fault.Is(err, fault.Unauthenticated) {
			b.Errorf("after the overlap: %v", err)
		}
		_, err = b.svc.RotateKey(b.Context(), b.us, old.Key.ID, 0)
		b.wantKind(err, fault.Conflict)
		for _, overlap := range []time.Duration{-1, 31 * 24 * time.Hour} {
			_, err = b.svc.RotateKey(b.Context(), b.us, next.Key.ID, overlap)
			b.wantKind(err, fault.Unprocessable)
		}
		// An overlap makes no key live longer than it would.
		now = now.Add(75 * time.Hour) // one hour is left
		last, err := b.svc.RotateKey(b.Context(), b.us, next.Key.ID, 24*time.Hour)
		b.must(err)
		now = now.Add(time.Hour)
		if _, err := b.holder(next); !fault.Is(err, fault.Unauthenticated) {
			b.Errorf("after its end: %v", err)
		}
		first, err := b.svc.RevokeKey(b.Context(), b.us, "", last.Key.ID)
		b.must(err)
		now = now.Add(time.Hour)
		second, err := b.svc.RevokeKey(b.Context(), b.us, "", last.Key.ID)
		b.must(err)
		if !first.RevokedAt.Equal(*second.RevokedAt) {
			b.Errorf("revoked at %v, then at %v", first.RevokedAt, second.RevokedAt)
		}
		if _, err := b.holder(last); !fault.Is(err, fault.Unauthenticated) {
			b.Error(err)
		}
	})
}

// TestDirectoryPermissions: each use case wants its one permission; a stranger's
// tenant is not there.
func TestDirectoryPermissions(t *testing.T) {
	on(t, func(b *bench) {
		id := b.key(b.us, service.KeyRequest{Name: "k", Role: tenant.Viewer}).Key.ID
		calls := map[string]struct {
			own, platform tenant.Permission
			call          func(p tenant.Principal) error
		}{
			"tenant": {tenant.TenantRead, tenant.PlatformRead, func(p tenant.Principal) error {
				_, err := b.svc.Tenant(b.Context(), p, "ours")
				return err
			}},
			"usage": {tenant.TenantRead, tenant.PlatformRead, func(p tenant.Principal) error {
				_, _, err := b.svc.Usage(b.Context(), p, "ours", "", "")
				return err
			}},
			"keys": {tenant.KeyRead, tenant.PlatformRead, func(p tenant.Principal) error { _, err := b.svc.Keys(b.Context(), p, "ours"); return err }},
			"revoke": {tenant.KeyWrite, tenant.PlatformWrite, func(p tenant.Principal) error {
				_, err := b.svc.RevokeKey(b.Context(), p, "ours", id)
				if fault.Is(err, fault.Denied) && fault.As(err).Code == "HX-AUTH-003" {
					return nil // it may revoke, but not this one
				}
				return err
			}},
			"change": {"", tenant.PlatformWrite, func(p tenant.Principal) error {
				_, err := b.svc.ChangeTenant(b.Context(), p, "ours", service.TenantChange{})
				return err
			}},
		}
		for name, c := range calls {
			for _, has := range tenant.All() {
				may := has == c.own || has == c.platform
				if err := c.call(tenant.NewPrincipal("ours", "x", has)); may && err != nil || !may && !fault.Is(err, fault.Denied) {
					b.Errorf("%s with %s: %v", name, has, err)
				}
				may = has == c.platform
				if err := c.call(tenant.NewPrincipal("theirs", "x", has)); may && err != nil || !may && !fault.Is(err, fault.NotFound) {
					b.Errorf("%s by a stranger with %s: %v", name, has, err)
				}
			}
			if err := c.call(tenant.Principal{}); !fault.Is(err, fault.Unauthenticated) {
				b.Errorf("%s by nobody: %v", name, err)
			}
		}
		all, err := b.svc.Tenants(b.Context(), b.us)
		b.must(err)
		mine, err := b.svc.Tenants(b.Context(), b.as("ours", tenant.Admin))
		b.must(err)
		if len(all) != 3 || len(mine) != 1 || mine[0].ID != "ours" {
			b.Errorf("all %+v, mine %+v", all, mine)
		}
		_, err = b.svc.DeleteTenant(b.Context(), b.us, tenant.Default)
		b.wantKind(err, fault.Conflict)
		for _, m := range []tenant.Month{"2026", "2026-13"} {
			_, _, err = b.svc.Usage(b.Context(), b.us, "ours", m, "")
			b.wantKind(err, fault.Invalid)
		}
	})
}

// TestDrainGoesOn: the loop finishes a deletion when the last job has ended.
func TestDrainGoesOn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, dir)
		defer b.close()
		b.submit()
		leases, err := b.store.Claim(b.Context(), "n", time.Hour, 1)
		b.must(err)
		waits := b.submit()[0]
		var cancelled []string
		b.deps.Hooks.Cancelled = func(j job.Job) { cancelled = append(cancelled, j.ID) }
		b.svc = service.New(b.store, b.deps)
		a, err := b.svc.DeleteTenant(b.Context(), b.us, "ours")
		b.must(err)
		if a.State != tenant.Draining || len(cancelled) != 1 || cancelled[0] != waits.ID {
			b.Errorf("%s, cancelled %v", a.State, cancelled)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- b.svc.Drain(ctx) }()
		time.Sleep(time.Minute)
		_, err = b.svc.Tenant(b.Context(), b.others, "ours")
		b.must(err)
		_, err = b.store.Apply(b.Context(), leases[0], job.CompleteWith("n", job.Outcome{}))
		b.must(err)
		time.Sleep(time.Minute)
		stop()
		b.must(<-done)
		_, err = b.svc.Tenant(b.Context(), b.others, "ours")
		b.wantKind(err, fault.NotFound)
		// An idle one is gone at once.
		a, err = b.svc.DeleteTenant(b.Context(), b.us, "theirs")
		b.must(err)
		if a.State != tenant.Deleted {
			b.Errorf("an idle tenant is %s", a.State)
		}
	})
}

// TestQuota: a refusal is answered for each job in its place, stores nothing and
// is counted.
func TestQuota(t *testing.T) {
	on(t, func(b *bench) {
		counted := map[string]int{}
		b.deps.Hooks.Refused = func(quota string) { counted[quota]++ }
		b.svc = service.New(b.store, b.deps)
		limit := int64(2)
		_, err := b.svc.ChangeTenant(b.Context(), b.us, "ours", service.TenantChange{MaxQueuedJobs: &limit})
		b.must(err)
		good, bad := job.Spec{VMPath: "/a"}, job.Spec{}
		r, err := b.svc.Submit(b.Context(), b.us, []job.Spec{bad, good, good, bad, good, good}, service.SubmitOptions{IdempotencyKey: "k"})
		b.must(err)
		var got []string
		for _, f := range r.Refused {
			got = append(got, fmt.Sprint(f.Index, f.Error.Kind))
		}
		if fmt.Sprint(got) != "[0unprocessable 3unprocessable 4exhausted 5exhausted]" || len(r.Jobs) != 2 {
			b.Errorf("refused %v, accepted %d", got, len(r.Jobs))
		}
		for range 2 { // refused again and again: nothing is remembered under the key
			r, err = b.svc.Submit(b.Context(), b.us, []job.Spec{bad, good}, service.SubmitOptions{IdempotencyKey: "k2"})
			b.wantKind(err, fault.Exhausted)
			if len(r.Jobs) != 0 || len(r.Refused) != 2 || r.Refused[1].Index != 1 {
				b.Errorf("%+v", r)
			}
		}
		r, err = b.svc.Submit(b.Context(), b.us, []job.Spec{bad, good, good, bad, good, good}, service.SubmitOptions{IdempotencyKey: "k"})
		b.must(err)
		if !r.Replayed || len(r.Refused) != 4 || len(r.Jobs) != 2 {
			b.Errorf("replayed %+v", r)
		}
		if total := b.total(); total != 2 || counted["max_queued_jobs"] != 4 || len(counted) != 1 {
			b.Errorf("%d are stored, counted %v", total, counted)
		}
	})
}
