package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func testRoundTrip(w *world) {
	yes := true
	at := w.now().Add(time.Hour)
	j := w.submit(func(s *job.Spec) {
		*s = job.Spec{
			Name: "näme", VMPath: "/DC/vm/Büro", Format: "qcow2", OutputPath: "x", Priority: job.High, Compress: &yes,
			ExcludeDisks: []string{"2000"}, MaxAttempts: 7, Timeout: "1h", NotBefore: &at, Labels: map[string]string{"a": "b"},
		}
	})
	j.WaitReason = job.WaitNotBefore
	if got := w.job(j.ID); !reflect.DeepEqual(got, j) {
		w.Fatalf("stored %+v\nread   %+v", j, got)
	}
	w.advance(2 * time.Hour)
	l := w.claim()
	p := &job.Progress{Phase: "copying", Percent: 52, BytesRead: 1 << 40, Disks: []job.DiskProgress{{Key: "2001"}}, UpdatedAt: w.now()}
	_, err := w.Renew(w.ctx, l, lease, p)
	w.must(err)
	o := job.Outcome{Artifacts: []job.Artifact{{Name: "x.qcow2", Bytes: 1 << 41}}, Receipt: []byte(`{"root":"ab"}`)}
	done := w.apply(l, job.CompleteWith("a", o))
	got := w.job(j.ID)
	p.Percent = 100 // it is completed, whatever the last heartbeat told
	if !reflect.DeepEqual(got, done) || !reflect.DeepEqual(got.Artifacts, o.Artifacts) || string(got.Receipt) != string(o.Receipt) ||
		!reflect.DeepEqual(got.Progress, p) || got.Node != "a" || !got.StartedAt.Equal(w.now()) || !got.FinishedAt.Equal(w.now()) {
		w.Fatalf("applied %+v\nread    %+v", done, got)
	}
	_, err = w.Reader(w.ours).Job(w.ctx, "nobody")
	w.wantKind(err, fault.NotFound)
}

func testTenants(w *world) {
	j := w.submit()
	r := w.Reader(w.theirs)
	_, err := r.Job(w.ctx, j.ID)
	w.wantKind(err, fault.NotFound)
	jobs, err := r.Jobs(w.ctx, service.Query{IDs: []string{j.ID}, Limit: 10}, 0)
	w.must(err)
	n, err := r.Count(w.ctx, service.Query{}, 10)
	w.must(err)
	events, err := r.Events(w.ctx, j.ID, 0, 10)
	w.must(err)
	counts, _, err := r.Backlog(w.ctx)
	w.must(err)
	if len(jobs)+int(n)+len(events)+len(counts) != 0 {
		w.Errorf("a stranger sees %d jobs, counts %d, %d events, backlog %v", len(jobs), n, len(events), counts)
	}
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error {
		_, _, err := tx.Cancel(j.ID, "")
		return err
	}), fault.NotFound)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error {
		_, _, err := tx.Change(j.ID, job.PauseBy("", ""))
		return err
	}), fault.NotFound)
	foreign := w.draft(w.ours)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error { return tx.Insert(&foreign) }), fault.Denied)
	w.wantKind(w.Update(w.ctx, tenant.Scope{}, func(service.Tx) error { return nil }), fault.Denied)
	w.wantState(j.ID, job.Pending)
}

func testAtomic(w *world) {
	a, b := w.draft(w.ours), w.draft(w.ours)
	err := w.Update(w.ctx, w.ours, func(tx service.Tx) error {
		w.must(tx.Insert(&a))
		w.must(tx.Insert(&b))
		return errTest
	})
	if !errors.Is(err, errTest) {
		w.Fatalf("got %v", err)
	}
	twin := b
	err = w.Update(w.ctx, w.ours, func(tx service.Tx) error {
		w.must(tx.Insert(&b))
		return tx.Insert(&twin)
	})
	w.wantKind(err, fault.Internal)
	err = w.Update(w.ctx, w.ours, func(tx service.Tx) error {
		w.must(tx.Insert(&b))
		panic("planned")
	})
	w.wantKind(err, fault.Internal)
	n, err := w.Reader(w.ours).Count(w.ctx, service.Query{}, 10)
	w.must(err)
	if n != 0 || len(w.kinds(a.ID))+len(w.kinds(b.ID)) != 0 {
		w.Errorf("%d jobs and %v %v are left", n, w.kinds(a.ID), w.kinds(b.ID))
	}
}

func testBatch(w *world) {
	const n = 200
	jobs := make([]job.Job, n)
	for i := range jobs {
		jobs[i] = w.draft(w.ours)
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range jobs {
		wg.Go(func() {
			errs[i] = w.Update(w.ctx, w.ours, func(tx service.Tx) error {
				if err := tx.Insert(&jobs[i]); err != nil || i%3 != 0 {
					return err
				}
				return errTest
			})
		})
	}
	wg.Wait()
	seen := map[int64]bool{}
	for i, j := range jobs {
		_, err := w.Reader(w.ours).Job(w.ctx, j.ID)
		if i%3 == 0 {
			if !errors.Is(errs[i], errTest) || !fault.Is(err, fault.NotFound) {
				w.Fatalf("job %d: %v, then %v", i, errs[i], err)
			}
			continue
		}
		if errs[i] != nil || err != nil || seen[j.Seq] {
			w.Fatalf("job %d (seq %d): %v, then %v", i, j.Seq, errs[i], err)
		}
		seen[j.Seq] = true
	}
}

func testEvents(w *world) {
	l := w.running()
	id := l.Job.ID
	w.apply(l, job.RetryAt("a", fault.New(fault.Unavailable, "HX-X-001", "gone", "wait"), w.now()))
	w.apply(w.claim(), job.InterruptBy("a", "shutdown"))
	w.apply(w.claim(), job.CompleteWith("a", job.Outcome{}))
	want := []event.Kind{
		event.Submitted, event.Started, event.Retrying, event.Started, event.Interrupted, event.Started, event.Completed,
	}
	if got := w.kinds(id); !reflect.DeepEqual(got, want) {
		w.Fatalf("got %v, want %v", got, want)
	}
	all, err := w.Reader(w.ours).Events(w.ctx, id, 0, 100)
	w.must(err)
	for i, e := range all {
		if e.JobID != id || e.Tenant != "ours" || !e.Time.Equal(w.now()) || i > 0 && (e.Seq <= all[i-1].Seq || e.Data.From != all[i-1].Data.State) {
			w.Errorf("event %d is %+v", i, e)
		}
	}
	if e := all[2]; e.Actor != "node:a" || e.Data.Error.Code != "HX-X-001" || e.Data.Attempt != 1 || e.Data.NotBefore == nil {
		w.Errorf("the retry tells %+v", e)
	}
	if e := all[0]; e.Actor != "tester" {
		w.Errorf("the submit tells %+v", e)
	}
	rest, err := w.Reader(w.ours).Events(w.ctx, id, all[2].Seq, 2)
	w.must(err)
	if !reflect.DeepEqual(rest, all[3:5]) {
		w.Errorf("after the third come %+v", rest)
	}
}

func testQueries(w *world) {
	first := w.submit(priority(job.High), func(s *job.Spec) { s.VMPath = "/DC/vm/web-01" })
	w.apply(w.claim(), job.CompleteWith("a", job.Outcome{}))
	w.advance(time.Minute)
	second := w.submit(priority(job.Low), func(s *job.Spec) { s.VMPath = "/DC/vm/Prod/Web-02" })
	w.advance(time.Minute)
	third := w.submit(func(s *job.Spec) { s.VMPath = "/DC/vm/100%_db" })
	for _, c := range []struct {
		name string
		q    service.Query
		want []string
	}{
		{"all", service.Query{}, []string{third.ID, second.ID, first.ID}},
		{"ids", service.Query{IDs: []string{first.ID, third.ID, "nobody"}}, []string{third.ID, first.ID}},
		{"state", service.Query{States: []job.State{job.Completed}}, []string{first.ID}},
		{"states", service.Query{States: []job.State{job.Completed, job.Pending}}, []string{third.ID, second.ID, first.ID}},
		{"priority", service.Query{Priorities: []job.Priority{job.Low, job.High}}, []string{second.ID, first.ID}},
		{"name", service.Query{VM: "WEB-01"}, []string{first.ID}},
		{"path", service.Query{VM: "/dc/vm/prod/web-02"}, []string{second.ID}},
		{"wrong folder", service.Query{VM: "/DC/vm/web-02"}, nil},
		{"name glob", service.Query{VM: "web-*"}, []string{second.ID, first.ID}},
		{"one character", service.Query{VM: "web-?1"}, []string{first.ID}},
		{"path glob", service.Query{VM: "/DC/*/web-0?"}, []string{second.ID, first.ID}},
		{"percent is itself", service.Query{VM: "100%*"}, []string{third.ID}},
		{"underscore is itself", service.Query{VM: "web_*"}, nil},
		{"quote is data", service.Query{VM: "' OR 1=1 --"}, nil},
		{"since", service.Query{Since: second.SubmittedAt}, []string{third.ID, second.ID}},
		{"until", service.Query{Until: second.SubmittedAt}, []string{first.ID}},
		{"together", service.Query{VM: "web-*", States: []job.State{job.Pending}}, []string{second.ID}},
	} {
		c.q.Limit = 10
		jobs, err := w.Reader(w.ours).Jobs(w.ctx, c.q, 0)
		w.must(err)
		var got []string
		for _, j := range jobs {
			got = append(got, j.ID)
		}
		if !reflect.DeepEqual(got, c.want) {
			w.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		n, err := w.Reader(w.ours).Count(w.ctx, c.q, 10)
		w.must(err)
		if int(n) != len(c.want) {
			w.Errorf("%s: counted %d", c.name, n)
		}
	}
}

func testPages(w *world) {
	for range 25 {
		w.submit()
	}
	var got []string
	for before := int64(0); ; {
		jobs, err := w.Reader(w.ours).Jobs(w.ctx, service.Query{Limit: 10}, before)
		w.must(err)
		for _, j := range jobs {
			got = append(got, j.ID)
		}
		if len(jobs) < 10 {
			break
		}
		before = jobs[9].Seq
		w.submit() // a new job is on no later page
	}
	if len(got) != 25 || got[0] != "job-024" || got[24] != "job-000" {
		w.Errorf("got %v", got)
	}
	n, err := w.Reader(w.ours).Count(w.ctx, service.Query{}, 7)
	w.must(err)
	if n != 7 {
		w.Errorf("counted %d up to 7", n)
	}
}

func testKeys(w *world) {
	const key, none = "k", "nothing"
	remember := func(s tenant.Scope, answer string) error {
		return w.Update(w.ctx, s, func(tx service.Tx) error { return tx.Remember(key, []byte("digest"), []byte(answer)) })
	}
	replay := func(s tenant.Scope, key string) string {
		got := none
		w.must(w.Update(w.ctx, s, func(tx service.Tx) error {
			digest, answer, found, err := tx.Replay(key)
			if found {
				got = fmt.Sprintf("%s %s", digest, answer)
			}
			return err
		}))
		return got
	}
	w.must(remember(w.ours, "one"))
	w.must(remember(w.theirs, "two"))
	w.wantKind(remember(w.ours, "again"), fault.Internal)
	if a, b, c := replay(w.ours, key), replay(w.theirs, key), replay(w.ours, "K"); a != "digest one" || b != "digest two" || c != none {
		w.Errorf("got %q, %q and %q", a, b, c)
	}
	w.advance(24*time.Hour + time.Second)
	if got := replay(w.ours, key); got != none {
		w.Errorf("after a day: %q", got)
	}
	w.must(remember(w.ours, "three"))
	if got := replay(w.ours, key); got != "digest three" {
		w.Errorf("the key is not free again: %q", got)
	}
}

func testBacklog(w *world) {
	r := w.Reader(w.ours)
	counts, oldest, err := r.Backlog(w.ctx)
	w.must(err)
	if len(counts) != 0 || !oldest.IsZero() {
		w.Errorf("an empty store has %v since %v", counts, oldest)
	}
	w.running()
	later := w.now().Add(time.Hour)
	w.submit(func(s *job.Spec) { s.NotBefore = &later })
	w.submitTo(w.theirs)
	w.advance(time.Minute)
	waits := w.submit()
	w.submit()
	counts, oldest, err = r.Backlog(w.ctx)
	w.must(err)
	if want := (map[job.State]int64{job.Running: 1, job.Pending: 3}); !reflect.DeepEqual(counts, want) || !oldest.Equal(waits.SubmittedAt) {
		w.Errorf("got %v since %v", counts, oldest)
	}
}

func testFeed(w *world) {
	woken := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	queue, stop := w.Watch(event.Queue)
	defer stop()
	j := w.submit()
	if !woken(queue) {
		w.Error("a submit wakes nobody")
	}
	mine, stop := w.Watch(event.JobTopic(j.ID))
	defer stop()
	other, stop := w.Watch(event.JobTopic("other"))
	defer stop()
	l := w.claim()
	if !woken(mine) {
		w.Error("a start wakes nobody")
	}
	_, err := w.Renew(w.ctx, l, lease, &job.Progress{})
	w.must(err)
	if !woken(mine) {
		w.Error("progress wakes nobody")
	}
	w.cancel(j.ID, "")
	if !woken(queue) || !woken(mine) || woken(other) {
		w.Error("a cancel wakes the wrong ones")
	}
	failed := w.draft(w.ours)
	_ = w.Update(w.ctx, w.ours, func(tx service.Tx) error { return errors.Join(tx.Insert(&failed), errTest) })
	if woken(queue) {
		w.Error("an update that failed wakes somebody")
	}
}
