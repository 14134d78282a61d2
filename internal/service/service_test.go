package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a service on a real store.
type bench struct {
	*testing.T
	dir    string // of the store
	store  *store.Store
	valid  *validator
	deps   service.Deps
	svc    *service.Service
	us     tenant.Principal
	others tenant.Principal
}

// validator refuses what lies outside of the root, as the executor would.
type validator struct{ err error }

func (v *validator) Validate(_ context.Context, s job.Spec) error {
	if strings.Contains(s.OutputPath, "..") {
		return fault.New(fault.Unprocessable, "HX-TEST-001", "output_path leaves the root", "stay inside")
	}
	return v.err
}

func newBench(t *testing.T, dir string) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Synchronous: store.Off})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		T: t, dir: dir, store: s, valid: &validator{},
		us:     tenant.NewPrincipal("ours", "us", tenant.All()...),
		others: tenant.NewPrincipal("theirs", "others", tenant.All()...),
	}
	b.deps = service.Deps{Validator: b.valid, Feed: s}
	b.svc = service.New(s, b.deps)
	for _, id := range []tenant.ID{"ours", "theirs"} {
		if _, err := b.svc.CreateTenant(t.Context(), b.us, id, service.TenantChange{}); err != nil && !fault.Is(err, fault.Conflict) {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bench) close() {
	if err := b.store.Close(); err != nil {
		b.Error(err)
	}
}

// on runs a test on a bench of its own.
func on(t *testing.T, test func(b *bench)) {
	t.Helper()
	b := newBench(t, t.TempDir())
	defer b.close()
	test(b)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(fault.Detail(err))
	}
}

func (b *bench) wantKind(err error, k fault.Kind) {
	b.Helper()
	if !fault.Is(err, k) {
		b.Fatalf("got %v, want kind %s", err, k)
	}
}

func (b *bench) submit(specs ...job.Spec) []job.Job {
	b.Helper()
	if len(specs) == 0 {
		specs = []job.Spec{{VMPath: "/DC/vm/web-01"}}
	}
	r, err := b.svc.Submit(b.Context(), b.us, specs, service.SubmitOptions{})
	b.must(err)
	return r.Jobs
}

func (b *bench) total() int64 {
	b.Helper()
	page, err := b.svc.Query(b.Context(), b.us, service.Query{})
	b.must(err)
	return page.Total
}

func TestSubmit(t *testing.T) {
	on(t, func(b *bench) {
		var observed []string
		b.deps.Hooks.Submitted = func(j job.Job) { observed = append(observed, j.ID) }
		b.svc = service.New(b.store, b.deps)
		r, err := b.svc.Submit(b.Context(), b.us, []job.Spec{
			{VMPath: "/DC/vm/a", Priority: job.Critical},
			{VMPath: "/DC/vm/b", Format: "floppy"},
			{VMPath: "/DC/vm/c", OutputPath: "../../etc"},
			{VMPath: "/DC/vm/d"},
		}, service.SubmitOptions{})
		b.must(err)
		if len(r.Jobs) != 2 || len(r.Refused) != 2 || r.Replayed || len(observed) != 2 {
			b.Fatalf("got %+v, observed %v", r, observed)
		}
		if r.Refused[0].Index != 1 || r.Refused[0].Error.Code != "HX-JOB-005" || r.Refused[1].Index != 2 || r.Refused[1].Error.Code != "HX-TEST-001" {
			b.Errorf("refused %+v", r.Refused)
		}
		j, err := b.svc.Get(b.Context(), b.us, r.Jobs[1].ID)
		b.must(err)
		if j.State != job.Pending || j.Spec.VMPath != "/DC/vm/d" || j.Spec.Format != "ova" || j.Priority != job.Normal || j.MaxAttempts != 3 || j.Tenant != "ours" {
			b.Errorf("got %+v", j)
		}
	})
}

// TestSubmitRefuses: nothing of a request that is refused is stored.
func TestSubmitRefuses(t *testing.T) {
	good := job.Spec{VMPath: "/DC/vm/web-01"}
	for _, c := range []struct {
		name  string
		specs []job.Spec
		key   string
		valid error
		kind  fault.Kind
		word  string
	}{
		{"nothing", nil, "", nil, fault.Invalid, "no job"},
		{"one bad job", []job.Spec{{}}, "", nil, fault.Unprocessable, "vm_path is missing"},
		{"all bad", []job.Spec{{}, {}}, "", nil, fault.Unprocessable, "all 2 jobs"},
		{"too many", make([]job.Spec, service.MaxBatch+1), "", nil, fault.Unprocessable, "1001"},
		{"key with a space", []job.Spec{good}, "a b", nil, fault.Invalid, "idempotency key"},
		{"key with a newline", []job.Spec{good}, "a\n", nil, fault.Invalid, "idempotency key"},
		{"long key", []job.Spec{good}, strings.Repeat("k", 256), nil, fault.Invalid, "idempotency key"},
		{"validator is broken", []job.Spec{good}, "", errors.New("x"), fault.Internal, "x"},
		{"validator does not answer", []job.Spec{good}, "", fault.New(fault.Unavailable, "HX-X-001", "down", ""), fault.Unavailable, "down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			on(t, func(b *bench) {
				b.valid.err = c.valid
				_, err := b.svc.Submit(b.Context(), b.us, c.specs, service.SubmitOptions{IdempotencyKey: c.key})
				b.wantKind(err, c.kind)
				if !strings.Contains(err.Error(), c.word) {
					b.Errorf("%q is not in %v", c.word, err)
				}
				if n := b.total(); n != 0 {
					b.Errorf("%d jobs are stored", n)
				}
			})
		})
	}
}

// TestTwins: 200 clients with the same key and the same job get one job.
func TestTwins(t *testing.T) {
	on(t, func(b *bench) {
		const n = 200
		specs := []job.Spec{{VMPath: "/DC/vm/a"}, {VMPath: "/DC/vm/b", Format: "floppy"}}
		results := make([]service.SubmitResult, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				var err error
				results[i], err = b.svc.Submit(b.Context(), b.us, specs, service.SubmitOptions{IdempotencyKey: "twin"})
				if err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		fresh := 0
		for _, r := range results {
			if !r.Replayed {
				fresh++
			}
			if len(r.Jobs) != 1 || r.Jobs[0].ID != results[0].Jobs[0].ID || r.Jobs[0].Spec.VMPath != "/DC/vm/a" || len(r.Refused) != 1 {
				b.Fatalf("got %+v", r)
			}
		}
		if total := b.total(); fresh != 1 || total != 1 {
			b.Errorf("%d answers are fresh, %d jobs are stored", fresh, total)
		}
		_, err := b.svc.Submit(b.Context(), b.us, []job.Spec{{VMPath: "/DC/vm/z"}}, service.SubmitOptions{IdempotencyKey: "twin"})
		b.wantKind(err, fault.Unprocessable)
		r, err := b.svc.Submit(b.Context(), b.others, specs, service.SubmitOptions{IdempotencyKey: "twin"})
		b.must(err)
		if r.Replayed {
			b.Error("another tenant's key is answered")
		}
	})
}

func TestPermissions(t *testing.T) {
	on(t, func(b *bench) {
		id, other := b.submit()[0].ID, b.submit()[0].ID
		calls := map[string]struct {
			needs tenant.Permission
			call  func(p tenant.Principal) error
		}{
			"submit": {tenant.JobSubmit, func(p tenant.Principal) error {
				_, err := b.svc.Submit(b.Context(), p, []job.Spec{{VMPath: "/a"}}, service.SubmitOptions{})
				return err
			}},
			"get":    {tenant.JobRead, func(p tenant.Principal) error { _, err := b.svc.Get(b.Context(), p, id); return err }},
			"query":  {tenant.JobRead, func(p tenant.Principal) error { _, err := b.svc.Query(b.Context(), p, service.Query{}); return err }},
			"status": {tenant.JobRead, func(p tenant.Principal) error { _, err := b.svc.Status(b.Context(), p); return err }},
			"events": {tenant.JobRead, func(p tenant.Principal) error { _, err := b.svc.Events(b.Context(), p, id, 0); return err }},
			"receipt": {tenant.JobRead, func(p tenant.Principal) error {
				if _, err := b.svc.Receipt(b.Context(), p, id); !fault.Is(err, fault.Conflict) {
					return err
				}
				return nil
			}},
			"explain": {tenant.JobRead, func(p tenant.Principal) error { _, err := b.svc.Explain(b.Context(), p, other); return err }},
			"pause":   {tenant.JobUpdate, func(p tenant.Principal) error { _, err := b.svc.Pause(b.Context(), p, other, ""); return err }},
			"resume":  {tenant.JobUpdate, func(p tenant.Principal) error { _, err := b.svc.Resume(b.Context(), p, other); return err }},
			"priority": {tenant.JobUpdate, func(p tenant.Principal) error {
				_, err := b.svc.Prioritize(b.Context(), p, other, job.Low)
				return err
			}},
			"retry": {tenant.JobUpdate, func(p tenant.Principal) error { _, err := b.svc.Retry(b.Context(), p, other); return err }},
			"bulk pause": {tenant.JobUpdate, func(p tenant.Principal) error {
				r, err := b.svc.Bulk(b.Context(), p, service.Bulk{Action: service.BulkPause, Filter: service.Query{IDs: []string{other}}})
				if err == nil && r.Matched == 0 {
					return fault.New(fault.NotFound, "HX-TEST-003", "none of mine", "")
				}
				return err
			}},
			"bulk cancel": {tenant.JobCancel, func(p tenant.Principal) error {
				r, err := b.svc.Bulk(b.Context(), p, service.Bulk{Action: service.BulkCancel, Filter: service.Query{IDs: []string{other}}, DryRun: true})
				if err == nil && r.Matched == 0 {
					return fault.New(fault.NotFound, "HX-TEST-003", "none of mine", "")
				}
				return err
			}},
			"cancel": {tenant.JobCancel, func(p tenant.Principal) error { _, err := b.svc.Cancel(b.Context(), p, id, ""); return err }},
		}
		for name, c := range calls {
			for _, has := range tenant.All() {
				err := c.call(tenant.NewPrincipal("ours", "x", has))
				if has == c.needs && err != nil || has != c.needs && !fault.Is(err, fault.Denied) {
					b.Errorf("%s with %s: %v", name, has, err)
				}
			}
			if err := c.call(tenant.Principal{}); !fault.Is(err, fault.Unauthenticated) {
				b.Errorf("%s by nobody: %v", name, err)
			}
			if err := c.call(b.others); name != "submit" && name != "query" && name != "status" && !fault.Is(err, fault.NotFound) {
				b.Errorf("%s by a stranger: %v", name, err)
			}
		}
	})
}

func TestQueryPages(t *testing.T) {
	on(t, func(b *bench) {
		var specs []job.Spec
		for i := range 120 {
			specs = append(specs, job.Spec{VMPath: fmt.Sprintf("/DC/vm/%03d", i)})
		}
		b.submit(specs...)
		q := service.Query{Limit: 50}
		seen := map[string]bool{}
		for pages := 1; ; pages++ {
			page, err := b.svc.Query(b.Context(), b.us, q)
			b.must(err)
			if page.Total != 120 || page.AtLeast {
				b.Errorf("total %d", page.Total)
			}
			for _, j := range page.Jobs {
				if seen[j.ID] {
					b.Errorf("%s is there twice", j.ID)
				}
				seen[j.ID] = true
			}
			if page.NextCursor == "" {
				if pages != 3 || len(page.Jobs) != 20 {
					b.Errorf("page %d has %d", pages, len(page.Jobs))
				}
				break
			}
			q.Cursor = page.NextCursor
		}
		if len(seen) != 120 {
			b.Errorf("%d jobs on all pages", len(seen))
		}
		page, err := b.svc.Query(b.Context(), b.us, service.Query{Limit: 120})
		b.must(err)
		if page.NextCursor != "" {
			b.Error("a full last page has a next one")
		}
	})
}

func TestQueryRefuses(t *testing.T) {
	on(t, func(b *bench) {
		for name, q := range map[string]service.Query{
			"limit":           {Limit: -1},
			"big limit":       {Limit: service.MaxLimit + 1},
			"state":           {States: []job.State{"done"}},
			"priority":        {Priorities: []job.Priority{"urgent"}},
			"ids":             {IDs: make([]string, service.MaxLimit+1)},
			"cursor":          {Cursor: "!"},
			"cursor of zero":  {Cursor: "AA"},
			"cursor and more": {Cursor: "AQE"},
			"huge cursor":     {Cursor: "____________AQ"},
		} {
			_, err := b.svc.Query(b.Context(), b.us, q)
			if !fault.Is(err, fault.Invalid) {
				b.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	on(t, func(b *bench) {
		cancelled := 0
		b.deps.Hooks.Cancelled = func(job.Job) { cancelled++ }
		b.svc = service.New(b.store, b.deps)
		cancel := func(id string, want service.CancelOutcome, state job.State) {
			b.Helper()
			r, err := b.svc.Cancel(b.Context(), b.us, id, "why")
			b.must(err)
			if r.Outcome != want || r.Job.State != state || r.Job.ID != id {
				b.Errorf("got %s, %+v; want %s, %s", r.Outcome, r.Job, want, state)
			}
		}
		jobs := b.submit(job.Spec{VMPath: "/a"}, job.Spec{VMPath: "/b"})
		leases, err := b.store.Claim(b.Context(), "a", time.Minute, 1)
		b.must(err)
		cancel(jobs[1].ID, service.CancelDone, job.Cancelled)
		cancel(jobs[1].ID, service.CancelTooLate, job.Cancelled)
		cancel(jobs[0].ID, service.CancelAccepted, job.Cancelling)
		cancel(jobs[0].ID, service.CancelRepeated, job.Cancelling)
		_, err = b.store.Apply(b.Context(), leases[0], job.CompleteWith("a", job.Outcome{Receipt: []byte(`{"a":1}`)}))
		b.must(err)
		cancel(jobs[0].ID, service.CancelTooLate, job.Completed)
		if cancelled != 1 {
			b.Errorf("the hook was called %d times", cancelled)
		}
		_, err = b.svc.Cancel(b.Context(), b.us, jobs[0].ID, strings.Repeat("x", service.MaxReason+1))
		b.wantKind(err, fault.Invalid)
		receipt, err := b.svc.Receipt(b.Context(), b.us, jobs[0].ID)
		b.must(err)
		if string(receipt) != `{"a":1}` {
			b.Errorf("receipt %s", receipt)
		}
	})
}

type pool struct{}

func (pool) Workers() (int, int) { return 4, 3 }

func (pool) Scaling() (admission.Bounds, admission.Scaling) {
	return admission.Bounds{Min: 2, Max: 8}, admission.Scaling{Size: 4, Reason: admission.Growing}
}

func TestStatus(t *testing.T) {
	on(t, func(b *bench) {
		b.deps.Pool = pool{}
		b.deps.Now = func() time.Time { return time.Now().Add(time.Hour) }
		jobs := b.submit(job.Spec{VMPath: "/a"}, job.Spec{VMPath: "/b"})
		b.svc = service.New(b.store, b.deps)
		_, err := b.svc.Cancel(b.Context(), b.us, jobs[0].ID, "")
		b.must(err)
		st, err := b.svc.Status(b.Context(), b.us)
		b.must(err)
		if st.Jobs[job.Pending] != 1 || st.Jobs[job.Cancelled] != 1 || len(st.Jobs) != len(job.States()) || st.Workers != 4 || st.Busy != 3 ||
			st.Bounds.Max != 8 || st.SizeReason != admission.Growing ||
			st.OldestWait < time.Hour || st.OldestWait > 2*time.Hour {
			b.Errorf("got %+v", st)
		}
	})
}

// TestEvents follows a job through its life in virtual time, with a connection
// that breaks after each element: every event arrives once, in order, and
// progress in between.
func TestEvents(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, dir)
			defer b.close()
			if deaf {
				b.deps.Feed = deafFeed{}
				b.svc = service.New(b.store, b.deps)
			}
			id := b.submit()[0].ID
			done := make(chan struct{})
			go func() {
				defer close(done)
				b.live()
			}()
			var kinds []event.Kind
			var progress []int64
			for after := int64(0); ; {
				u, ok := b.next(id, after)
				if !ok {
					break
				}
				switch {
				case u.Event != nil:
					kinds, after = append(kinds, u.Event.Kind), u.Event.Seq
				case u.Progress != nil:
					progress = append(progress, u.Progress.BytesRead)
					<-time.After(time.Second) // a new connection gets the progress again
				}
			}
			<-done
			want := []event.Kind{event.Submitted, event.Started, event.Retrying, event.Started, event.Completed}
			if fmt.Sprint(kinds) != fmt.Sprint(want) {
				t.Errorf("got %v", kinds)
			}
			if len(progress) == 0 {
				t.Error("no progress")
			}
		})
	}
}

type deafFeed struct{}

func (deafFeed) Watch(event.Topic) (<-chan struct{}, func()) { return nil, func() {} }

// live leads the job through its life.
func (b *bench) live() {
	for _, last := range []bool{false, true} {
		<-time.After(5 * time.Second)
		leases, err := b.store.Claim(b.Context(), "a", time.Minute, 1)
		if err != nil || len(leases) != 1 {
			b.Errorf("claimed %v, %v", leases, err)
			return
		}
		for i := range int64(3) {
			<-time.After(2 * time.Second)
			p := &job.Progress{BytesRead: i, UpdatedAt: time.Now()}
			if _, err := b.store.Renew(b.Context(), leases[0], time.Minute, p); err != nil {
				b.Error(err)
			}
		}
		c := job.RetryAt("a", errors.New("x"), time.Now())
		if last {
			c = job.CompleteWith("a", job.Outcome{})
		}
		if _, err := b.store.Apply(b.Context(), leases[0], c); err != nil {
			b.Error(err)
		}
	}
}

// next opens a stream and returns its first element that is no keep-alive.
func (b *bench) next(id string, after int64) (service.Update, bool) {
	b.Helper()
	stream, err := b.svc.Events(b.Context(), b.us, id, after)
	b.must(err)
	for u, err := range stream {
		b.must(err)
		if u.Event != nil || u.Progress != nil {
			return u, true
		}
	}
	return service.Update{}, false
}

// TestEventsKeepAlive: a silent stream shows that it lives, and ends with its
// context.
func TestEventsKeepAlive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, dir)
		defer b.close()
		id := b.submit()[0].ID
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := b.svc.Events(ctx, b.us, id, 0)
		b.must(err)
		events, alive, begin := 0, 0, time.Now()
		var last error
		for u, err := range stream {
			switch {
			case err != nil:
				last = err
			case u.Event != nil:
				events++
			default:
				alive++
			}
		}
		if events != 1 || alive < 3 || alive > 4 || !errors.Is(last, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%d events, %d signs of life, then %v after %v", events, alive, last, time.Since(begin))
		}
	})
}
