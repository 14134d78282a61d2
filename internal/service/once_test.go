package service_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func (b *bench) sealKey(of byte) *seal.Key {
	b.Helper()
	k, err := seal.New(bytes.Repeat([]byte{of}, 32))
	b.must(err)
	return k
}

// restarted is a service as another process has it, on the same store.
func (b *bench) restarted(s service.Store, k *seal.Key) *service.Service {
	deps := b.deps
	deps.Seal = k
	return service.New(s, deps)
}

// Of callers that make one call at the same time, one is carried out; the others get
// its answer, or are told to wait.
func TestOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	on(t, func(b *bench) {
		const n = 16
		ids := make([]string, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				for {
					sch, err := b.svc.CreateSchedule(b.Context(), b.us.Keyed("k"), schedule.Definition{Name: "n", Cron: "@daily", Jobs: []job.Spec{{VMPath: "/vm"}}})
					if err == nil {
						ids[i] = sch.ID
						return
					}
					if fault.As(err).Code != service.InFlight {
						b.Error(fault.Detail(err))
						return
					}
				}
			})
		}
		wg.Wait()
		page, err := b.svc.Schedules(b.Context(), b.us, 0, "")
		b.must(err)
		if len(page.Items) != 1 {
			b.Fatalf("%d schedules", len(page.Items))
		}
		for _, id := range ids {
			if id != page.Items[0].ID {
				b.Errorf("a caller got %q of %s", id, page.Items[0].ID)
			}
		}
	})
}

// A secret that a call showed is shown again to who repeats it, and nobody reads it
// in the store.
func TestOnceKeepsSecretsSealed(t *testing.T) {
	t.Parallel()
	on(t, func(b *bench) {
		here := b.restarted(b.store, b.sealKey(1))
		key := func(s *service.Service) (service.NewKey, error) {
			return s.CreateKey(b.Context(), b.us.Keyed("key"), "", service.KeyRequest{Name: "k", Role: tenant.Viewer})
		}
		hook := func(s *service.Service) (service.NewWebhook, error) {
			return s.CreateWebhook(b.Context(), b.us.Keyed("hook"), webhook.Definition{Name: "h", URL: "https://example.org/canary"})
		}
		k, err := key(here)
		b.must(err)
		h, err := hook(here)
		b.must(err)
		later := b.restarted(b.store, b.sealKey(1))
		again, err := key(later)
		b.must(err)
		hooked, err := hook(later)
		b.must(err)
		if !reflect.DeepEqual(shown(k.Key), shown(again.Key)) || k.Secret.Reveal() != again.Secret.Reveal() || h.Secret.Reveal() != hooked.Secret.Reveal() || h.Webhook.ID != hooked.Webhook.ID || k.Secret.Empty() || h.Secret.Empty() {
			b.Errorf("%+v\n%+v\n%+v\n%+v", k, again, h, hooked)
		}
		if _, err := key(b.restarted(b.store, b.sealKey(2))); fault.As(err).Code != "HX-IDEM-004" {
			b.Errorf("with another node's key: %v", err)
		}
		if _, err := key(b.restarted(b.store, nil)); fault.As(err).Code != "HX-IDEM-002" {
			b.Errorf("without a key: %v", err)
		}
		files, err := filepath.Glob(filepath.Join(b.dir, "hypersdk.db*"))
		b.must(err)
		for _, f := range files {
			text, err := os.ReadFile(f)
			b.must(err)
			for _, s := range []string{k.Secret.Reveal(), h.Secret.Reveal(), "canary"} {
				if bytes.Contains(text, []byte(s)) {
					b.Errorf("%s holds %.8s…", f, s)
				}
			}
		}
		if len(files) == 0 {
			b.Error("no database")
		}
	})
}

func shown(k tenant.Key) tenant.Key {
	k.Digest = tenant.Digest{}
	return k
}

// breaking loses the answer of an update: its outcome is unknown to the caller.
type breaking struct {
	service.Store
	left int // updates until then
}

func (s *breaking) lost(err error) error {
	if s.left--; s.left == 0 && err == nil {
		return fault.New(fault.Unavailable, "HX-TEST-001", "the outcome is unknown", "")
	}
	return err
}

func (s *breaking) Update(ctx context.Context, scope tenant.Scope, fn func(tx service.Tx) error) error {
	return s.lost(s.Store.Update(ctx, scope, fn))
}

func (s *breaking) Remember(ctx context.Context, o *tenant.Once) error {
	return s.lost(s.Store.Remember(ctx, o))
}

// A call whose commits are unknown is repeated by another process until it is
// answered: it takes effect once, whichever of its transactions it breaks off after.
func TestOnceWhenTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	const many = 210 // jobs: two transactions
	calls := map[string]func(b *bench, s *service.Service, p tenant.Principal, ids []string) (any, error){
		"bulk": func(b *bench, s *service.Service, p tenant.Principal, _ []string) (any, error) {
			r, err := s.Bulk(b.Context(), p, service.Bulk{Action: service.BulkPause, Filter: service.Query{States: []job.State{job.Pending}}, Reason: "r"})
			return fmt.Sprint(r.Matched, r.Changed, r.Unchanged, r.Failed), err
		},
		"cancel": func(b *bench, s *service.Service, p tenant.Principal, ids []string) (any, error) {
			all, err := s.CancelAll(b.Context(), p, ids, "r")
			done := 0
			for _, c := range all {
				if c.Outcome == service.CancelDone {
					done++
				}
			}
			return fmt.Sprint(len(all), done), err
		},
		"pause": func(b *bench, s *service.Service, p tenant.Principal, ids []string) (any, error) {
			j, err := s.Pause(b.Context(), p, ids[0], "r")
			return fmt.Sprintf("%t %t %s", j.ID == ids[0], j.Paused, j.WaitReason), err
		},
		"run": func(b *bench, s *service.Service, p tenant.Principal, _ []string) (any, error) {
			r, err := s.RunSchedule(b.Context(), p, "n")
			return fmt.Sprintf("%s %d", r.Outcome, len(r.JobIDs)), err
		},
	}
	want := map[string]string{"bulk": "210 210 0 0", "cancel": "210 210", "pause": "true true paused", "run": "submitted 1"}
	for name, do := range calls {
		for lost := 1; lost <= 2; lost++ {
			t.Run(fmt.Sprint(name, lost), func(t *testing.T) {
				t.Parallel()
				on(t, func(b *bench) {
					specs := make([]job.Spec, many)
					for i := range specs {
						specs[i].VMPath = "/DC/vm/a"
					}
					ids := make([]string, many)
					for i, j := range b.submit(specs...) {
						ids[i] = j.ID
					}
					_, err := b.svc.CreateSchedule(b.Context(), b.us, schedule.Definition{Name: "n", Cron: "@yearly", Jobs: []job.Spec{{VMPath: "/vm"}}})
					b.must(err)
					var got any
					for tries := 0; ; tries++ {
						s := b.restarted(&breaking{Store: b.store, left: lost}, nil)
						p := b.us.Keyed("k")
						if got, err = do(b, s, p, ids); err == nil {
							break
						}
						b.wantKind(err, fault.Unavailable)
						if tries > 3 {
							b.Fatal("it is never answered")
						}
					}
					if got != want[name] {
						b.Errorf("got %q, want %q", got, want[name])
					}
					p := b.us.Keyed("k")
					if again, err := do(b, b.svc, p, ids); err != nil || again != got || !p.Replayed() {
						b.Errorf("again: %q, %v, replayed %t", again, err, p.Replayed())
					}
				})
			})
		}
	}
}

// A replay of events that breaks off goes on, and counts each delivery once.
func TestOnceReplayOfEvents(t *testing.T) {
	t.Parallel()
	on(t, func(b *bench) {
		s := b.restarted(b.store, b.sealKey(1))
		h, err := s.CreateWebhook(b.Context(), b.us, webhook.Definition{Name: "h", URL: "https://example.org/x", Events: []string{"job.submitted"}})
		b.must(err)
		b.submit(twoBatches()...)
		replay := func(store service.Store, p tenant.Principal) (int, error) {
			return b.restarted(store, b.sealKey(1)).ReplayWebhook(b.Context(), p, h.Webhook.ID, time.Now().Add(-time.Hour))
		}
		since := time.Now().Add(-time.Hour)
		call := func(store service.Store, p tenant.Principal) (int, error) {
			return b.restarted(store, b.sealKey(1)).ReplayWebhook(b.Context(), p, h.Webhook.ID, since)
		}
		if _, err := call(&breaking{Store: b.store, left: 1}, b.us.Keyed("k")); !fault.Is(err, fault.Unavailable) {
			b.Fatal(err)
		}
		n, err := call(b.store, b.us.Keyed("k"))
		b.must(err)
		if n != 110 {
			b.Errorf("%d deliveries", n)
		}
		if _, err := replay(b.store, b.us.Keyed("k")); !fault.Is(err, fault.Unprocessable) {
			b.Errorf("since another time: %v", err)
		}
	})
}

func twoBatches() []job.Spec {
	specs := make([]job.Spec, 110)
	for i := range specs {
		specs[i].VMPath = "/DC/vm/a"
	}
	return specs
}

// Deleting a tenant is remembered with the caller, as far as it got.
func TestOnceDeleteTenant(t *testing.T) {
	t.Parallel()
	on(t, func(b *bench) {
		root := tenant.NewPrincipal(tenant.Default, "root", tenant.All()...)
		first, err := b.svc.DeleteTenant(b.Context(), root.Keyed("k"), "theirs")
		b.must(err)
		p := root.Keyed("k")
		again, err := b.svc.DeleteTenant(b.Context(), p, "theirs")
		b.must(err)
		if first.State != tenant.Deleted || !p.Replayed() || !reflect.DeepEqual(first, again) {
			b.Errorf("%+v\n%+v", first, again)
		}
		_, err = b.svc.DeleteTenant(b.Context(), root.Keyed("other"), "theirs")
		b.wantKind(err, fault.NotFound)
	})
}
