package storetest

import (
	"reflect"
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func testSessions(w *world) {
	w.found(tenant.Limits{})
	us, them := tenant.NewPrincipal("ours", "key:page", tenant.JobRead), tenant.NewPrincipal("theirs", "key:x", tenant.JobRead)
	session := func(n, of byte) auth.Session {
		return auth.Session{
			Digest: auth.Digest{n}, Credential: auth.Digest{of}, Tenant: "ours", Principal: "key:page",
			CreatedAt: w.now(), UsedAt: w.now(), Idle: time.Hour, ExpiresAt: w.now().Add(12 * time.Hour),
		}
	}
	there := func(n byte) bool {
		w.Helper()
		_, found, err := w.Session(w.ctx, auth.Digest{n})
		w.must(err)
		return found
	}
	first := session(1, 9)
	w.must(w.CreateSession(w.ctx, us, first, auth.Digest{}))
	got, found, err := w.Session(w.ctx, first.Digest)
	w.must(err)
	if !found || !reflect.DeepEqual(got, first) {
		w.Fatalf("stored %+v\nread   %+v", first, got)
	}
	w.advance(30 * time.Second)
	w.must(w.SessionUsed(w.ctx, first.Digest, w.now())) // not a minute later
	w.advance(31 * time.Second)
	w.must(w.SessionUsed(w.ctx, first.Digest, w.now()))
	if got, _, err = w.Session(w.ctx, first.Digest); err != nil || !got.UsedAt.Equal(w.now()) {
		w.Errorf("used at %s, %v", got.UsedAt, err)
	}
	w.must(w.EndSession(w.ctx, them, first.Digest)) // a stranger ends nothing
	w.must(w.CreateSession(w.ctx, us, session(2, 9), auth.Digest{1}))
	if there(1) || !there(2) {
		w.Error("a session does not follow the one that the browser had")
	}
	w.must(w.EndSession(w.ctx, us, auth.Digest{2}))
	w.must(w.EndSession(w.ctx, us, auth.Digest{2}))
	if there(2) {
		w.Error("a session is there that has ended")
	}
	w.wantEvents(event.TenantCreated, event.SessionCreated, event.SessionEnded, event.SessionCreated, event.SessionEnded)

	w.must(w.CreateSession(w.ctx, us, session(200, 8), auth.Digest{}))
	for n := range byte(51) {
		w.advance(time.Second)
		w.must(w.CreateSession(w.ctx, us, session(10+n, 9), auth.Digest{}))
	}
	if there(10) || !there(11) || !there(60) || !there(200) {
		w.Error("not the oldest session of the key makes room")
	}
	w.advance(time.Hour)
	w.must(w.CreateSession(w.ctx, us, session(100, 9), auth.Digest{}))
	if there(60) || there(200) || !there(100) {
		w.Error("sessions that are over are kept")
	}
	_, err = w.ChangeTenant(w.ctx, w.platform(), "ours", func(a *tenant.Account) error {
		a.State = tenant.Draining
		return nil
	})
	w.must(err)
	w.wantKind(w.CreateSession(w.ctx, us, session(101, 9), auth.Digest{}), fault.Conflict)
	for more := true; more; {
		_, more, err = w.Drain(w.ctx)
		w.must(err)
	}
	if there(100) {
		w.Error("a deleted tenant has a session")
	}
}
