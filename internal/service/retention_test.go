package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// shelf holds the outputs of jobs; those that somebody works with stay.
type shelf struct {
	outputs map[string]int64 // by job id
	touched map[string]bool
}

func (s *shelf) Remove(_ context.Context, j job.Job, dry bool) (int64, error) {
	bytes, there := s.outputs[j.ID]
	switch {
	case !there:
		return 0, fault.New(fault.NotFound, "HX-TEST-001", "gone", "")
	case s.touched[j.ID]:
		return 0, fault.New(fault.Conflict, "HX-TEST-002", "somebody works with it", "")
	case !dry:
		delete(s.outputs, j.ID)
	}
	return bytes, nil
}

// kept is a timed bench with completed jobs, one a day.
type kept struct {
	*timed
	shelf *shelf
	ids   []string
}

func inKept(t *testing.T, days int, test func(b *kept)) {
	t.Helper()
	inTime(t, "2026-03-01T00:00:00Z", func(b *timed) {
		k := &kept{timed: b, shelf: &shelf{outputs: map[string]int64{}, touched: map[string]bool{}}}
		for range days {
			b.submit()
			leases, err := b.store.Claim(b.Context(), "n", time.Hour, 1)
			b.must(err)
			id := leases[0].Job.ID
			o := job.Outcome{Artifacts: []job.Artifact{{Name: "x", Path: "/out/" + id + "/x"}}}
			_, err = b.store.Apply(b.Context(), leases[0], job.CompleteWith("n", o))
			b.must(err)
			k.ids, k.shelf.outputs[id] = append(k.ids, id), 10
			<-time.After(24 * time.Hour)
		}
		test(k)
	})
}

func (b *kept) retention(p service.RetentionPolicy, hooks service.RetentionHooks) *service.Retention {
	return service.NewRetention(b.store, b.shelf, p, hooks, nil, slog.New(slog.DiscardHandler))
}

func (b *kept) apply(x *service.Retention, dry bool) service.RetentionReport {
	b.Helper()
	r, err := x.Apply(b.Context(), b.us, dry)
	b.must(err)
	return r
}

const daily = 24 * time.Hour

func TestRetentionByCountAndAge(t *testing.T) {
	inKept(t, 10, func(b *kept) {
		b.shelf.touched[b.ids[1]] = true
		delete(b.shelf.outputs, b.ids[2])
		x := b.retention(service.RetentionPolicy{ArtifactCount: 8, ArtifactAge: 6*daily + time.Hour}, service.RetentionHooks{})
		dry := b.apply(x, true)
		if dry.Artifacts != 3 || dry.Bytes != 20 || dry.KeptCount != 1 || dry.Jobs != 0 || !dry.DryRun || len(b.shelf.outputs) != 9 {
			b.Fatalf("%+v", dry)
		}
		r := b.apply(x, false)
		if r.Artifacts != 3 || len(b.shelf.outputs) != 7 || r.Removed[0].JobID != b.ids[0] || r.Removed[0].Path != "/out/"+b.ids[0] ||
			r.Kept[0].JobID != b.ids[1] || r.Kept[0].Reason != "somebody works with it" {
			b.Fatalf("%+v", r)
		}
		again := b.apply(x, false)
		if again.Artifacts != 0 || again.KeptCount != 1 {
			b.Errorf("%+v", again)
		}
		if j := b.jobs(); len(j) != 10 || j[0].ArtifactsRemovedAt == nil || j[1].ArtifactsRemovedAt != nil || j[2].ArtifactsRemovedAt == nil || j[5].ArtifactsRemovedAt != nil {
			b.Errorf("%+v", j)
		}
	})
}

// A job whose artifacts a rule may still want to remove is not forgotten.
func TestRetentionOfJobs(t *testing.T) {
	inKept(t, 10, func(b *kept) {
		b.shelf.touched[b.ids[1]] = true
		r := b.apply(b.retention(service.RetentionPolicy{Jobs: 5*daily + time.Hour, ArtifactCount: 7}, service.RetentionHooks{}), false)
		if r.Jobs != 2 || r.Artifacts != 2 || r.KeptCount != 1 || b.total() != 8 {
			b.Fatalf("%+v", r)
		}
		plain := b.retention(service.RetentionPolicy{Jobs: 5*daily + time.Hour}, service.RetentionHooks{})
		if dry := b.apply(plain, true); dry.Jobs != 3 || b.total() != 8 {
			b.Fatalf("%+v", dry)
		}
		if r := b.apply(plain, false); r.Jobs != 3 || r.Artifacts != 0 || b.total() != 5 || len(b.shelf.outputs) != 8 {
			b.Fatalf("%+v", r)
		}
	})
}

func TestRetentionRunsByItself(t *testing.T) {
	inKept(t, 5, func(b *kept) {
		var passes []string
		x := b.retention(service.RetentionPolicy{Jobs: 3*daily + 90*time.Minute}, service.RetentionHooks{
			Passed: func(r service.RetentionReport) { passes = append(passes, fmt.Sprint(r.Jobs)) },
		})
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- x.Run(ctx) }()
		b.pass(4 * time.Minute)
		if b.total() != 5 {
			b.Error("it does not wait after the start")
		}
		b.pass(2*time.Hour + 10*time.Minute)
		stop()
		b.must(<-done)
		if !slices.Equal(passes, []string{"2", "0", "1"}) || b.total() != 2 {
			b.Errorf("%v, %d jobs are left", passes, b.total())
		}
	})
}

func TestRetentionNeedsItsPermission(t *testing.T) {
	on(t, func(b *bench) {
		x := service.NewRetention(b.store, &shelf{}, service.RetentionPolicy{}, service.RetentionHooks{}, nil, slog.New(slog.DiscardHandler))
		_, err := x.Apply(b.Context(), tenant.NewPrincipal("ours", "p", tenant.JobRead, tenant.JobSubmit, tenant.JobCancel), true)
		b.wantKind(err, fault.Denied)
	})
}

// One pass at a time: a second one is told so.
func TestRetentionTakesTurns(t *testing.T) {
	inKept(t, 1, func(b *kept) {
		b.down(time.Hour)
		x := service.NewRetention(b.store, b.shelf, service.RetentionPolicy{ArtifactAge: time.Minute}, service.RetentionHooks{
			Passed: func(service.RetentionReport) { <-time.After(time.Second) },
		}, nil, slog.New(slog.DiscardHandler))
		done := make(chan error, 1)
		go func() {
			_, err := x.Apply(b.Context(), b.us, false)
			done <- err
		}()
		synctest.Wait()
		_, err := x.Apply(b.Context(), b.us, true)
		b.wantKind(err, fault.Conflict)
		b.must(<-done)
	})
}
