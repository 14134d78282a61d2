package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// profiles lists a tenant's profiles, by a reader and within a transaction alike.
func (w *world) profiles(s tenant.Scope) string {
	w.Helper()
	show := func(all []service.StoredProfile) string {
		var b strings.Builder
		for _, p := range all {
			fmt.Fprintf(&b, "%s %q %v %s; ", p.ID, p.Text, p.JSON, p.UpdatedAt.Format(time.RFC3339Nano))
		}
		return b.String()
	}
	read, err := w.Reader(s).Profiles(w.ctx)
	w.must(err)
	w.must(w.Update(w.ctx, s, func(tx service.Tx) error {
		inside, err := tx.Profiles()
		if show(inside) != show(read) {
			w.Errorf("a transaction sees %s, a reader %s", show(inside), show(read))
		}
		return err
	}))
	return show(read)
}

func testProfiles(w *world) {
	put := func(s tenant.Scope, id, text string, isJSON bool) {
		w.Helper()
		at := w.now().Add(time.Microsecond)
		w.must(w.Update(w.ctx, s, func(tx service.Tx) error {
			return tx.PutProfile(service.StoredProfile{ID: id, Text: text, JSON: isJSON, UpdatedAt: at})
		}))
	}
	put(w.ours, "b", "name: ü\n", false)
	put(w.ours, "a", "{}", true)
	put(w.theirs, "b", "name: theirs\n", false)
	const at = "2026-03-01T12:00:00.000001Z; "
	if got, want := w.profiles(w.ours), `a "{}" true `+at+`b "name: ü\n" false `+at; got != want {
		w.Errorf("%s, want %s", got, want)
	}
	put(w.ours, "b", "{\"name\": \"again\"}", true)
	w.must(w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.DeleteProfile("a") }))
	if got, want := w.profiles(w.ours), `b "{\"name\": \"again\"}" true `+at; got != want {
		w.Errorf("%s, want %s", got, want)
	}
	if got, want := w.profiles(w.theirs), `b "name: theirs\n" false `+at; got != want {
		w.Errorf("%s, want %s", got, want)
	}
}

func testBandwidth(w *world) {
	l := w.running(func(s *job.Spec) { s.BandwidthLimit, s.Labels = "50MB", map[string]string{"a": "b"} })
	set := func(s tenant.Scope, id string, rate job.Bandwidth, windows ...string) (j job.Job, err error) {
		err = w.Update(w.ctx, s, func(tx service.Tx) (err error) {
			j, err = tx.SetBandwidth(id, rate, windows)
			return err
		})
		return j, err
	}
	own, ofTenant, err := w.Bandwidth(w.ctx, l.Job.ID)
	w.must(err)
	if own.Rate != 50e6 || ofTenant.Rate != 0 {
		w.Errorf("%+v, %+v", own, ofTenant)
	}
	if _, err := set(w.theirs, l.Job.ID, "1MB"); !fault.Is(err, fault.NotFound) {
		w.Errorf("another tenant: %v", err)
	}
	j, err := set(w.ours, l.Job.ID, "20MB", "08:00-18:00 UTC = 5MB")
	w.must(err)
	if own, _, err = w.Bandwidth(w.ctx, l.Job.ID); err != nil || own.Rate != 20e6 || own.At(w.now()) != 5e6 {
		w.Errorf("%+v, %v", own, err)
	}
	if stored := w.job(l.Job.ID); j.Spec.BandwidthLimit != "20MB" || stored.Spec.BandwidthLimit != "20MB" || stored.Spec.Labels["a"] != "b" || stored.State != job.Running {
		w.Errorf("%+v", stored)
	}
	w.apply(l, job.CompleteWith("a", job.Outcome{})) // the lease is as good as before
	if _, err := set(w.ours, l.Job.ID, "1MB"); !fault.Is(err, fault.Conflict) {
		w.Errorf("of a job that has ended: %v", err)
	}
	if kinds := w.kinds(l.Job.ID); len(kinds) != 4 || kinds[2] != "job.bandwidth_changed" {
		w.Errorf("%v", kinds)
	}
	if _, _, err := w.Bandwidth(w.ctx, "nowhere"); err == nil {
		w.Error("a job that is not there has a limit")
	}
}
