package parity_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// notTwice are scenarios whose caller cannot call again, or that already repeat.
var notTwice = map[string]string{
	"delete a tenant": "its keys are gone",
	"submit again":    "it has a key",
}

// TestRepeat makes each call that changes anything twice under one idempotency key,
// through each door: the second answer is the first, and nothing is done again. With
// another request the key is refused.
func TestRepeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	routes := w.drivers[0].(*restDriver).routes
	played := map[string]bool{}
	for i, s := range scenarios {
		if s.kind != "" || !routes[s.op].keyed || notTwice[s.name] != "" {
			continue
		}
		played[s.op] = true
		for _, d := range w.drivers {
			if d.lacks(s.op) == "" {
				s.repeat(t, w, d, w.tenant(fmt.Sprintf("r%d-%s", i, d.door()), role(s), s.op))
			}
		}
	}
	for op, r := range routes {
		if r.keyed && !played[op] && op != "delete_tenant" {
			t.Errorf("%s is not repeated by any scenario", op)
		}
	}
}

func (s scenario) repeat(t *testing.T, w *world, d driver, o objects) {
	t.Helper()
	if s.prepare != nil {
		s.prepare(w, &o)
	}
	defer w.quiet(o)
	var c call
	if s.call != nil {
		c = s.call(o)
	}
	c.op, c.secret, c.idempotent = s.op, o.secret, "again"
	first := d.do(t, c)
	before := w.kept(o)
	again := d.do(t, c)
	if first.kind != "" || first.replayed || again.kind != "" {
		t.Errorf("%s by %s: %s %s, then %s %s", s.name, d.door(), first.kind, first.message, again.kind, again.message)
		return
	}
	if c.body["dry_run"] == true { // nothing was done
		return
	}
	if !again.replayed || !reflect.DeepEqual(drop(first.value, "replayed"), drop(again.value, "replayed")) {
		t.Errorf("%s by %s: replayed %t\n%s\n%s", s.name, d.door(), again.replayed, show(first.value), show(again.value))
	}
	if after := w.kept(o); before != after {
		t.Errorf("%s by %s is done twice:\n%s\n%s", s.name, d.door(), before, after)
	}
	other := call{op: "delete_profile", id: "none", secret: o.secret, idempotent: "again"}
	if got := d.do(t, other); got.kind != "unprocessable" || got.code != "HX-JOB-012" {
		t.Errorf("%s by %s: another request has %s %s", s.name, d.door(), got.kind, got.code)
	}
}

// kept is what a tenant has, and how many events tell of it, as text.
func (w *world) kept(o objects) string {
	w.t.Helper()
	left := parse(w.t, []byte(show(w.left(o))))
	_, err := w.store.Sequence(w.t.Context(), 100_000)
	must(w.t, err)
	scope, err := o.us.Scope(tenant.JobRead)
	must(w.t, err)
	page, err := w.store.Reader(scope).Log(w.t.Context(), 0, 1000)
	must(w.t, err)
	return fmt.Sprint(show(drop(left, "last_used_at")), " ", len(page), " events")
}

// TestRepeatIsNotShared: a key is the caller's own, and one that is none is refused
// by every door.
func TestRepeatIsNotShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, d := range w.drivers {
		ours, theirs := w.tenant("ours-"+d.door(), "platform", "key"), w.tenant("theirs-"+d.door(), "platform", "key")
		made, err := w.svc.CreateKey(t.Context(), root(), ours.tenant, service.KeyRequest{Name: "colleague", Role: "platform"})
		must(t, err)
		for _, secret := range []string{ours.secret, theirs.secret, made.Secret.Reveal()} {
			c := call{op: "create_key", secret: secret, body: obj{"name": "k", "role": "viewer"}, idempotent: "shared"}
			if got := d.do(t, c); got.kind != "" || got.replayed {
				t.Errorf("by %s: %s %s, replayed %t", d.door(), got.kind, got.message, got.replayed)
			}
		}
		for _, key := range []string{strings.Repeat("k", 256), "two words"} {
			c := call{op: "pause_tenant", id: string(ours.tenant), secret: ours.secret, idempotent: key}
			if got := d.do(t, c); got.kind != "invalid" || got.code != "HX-JOB-015" {
				t.Errorf("by %s: the key %.10q: %s %s", d.door(), key, got.kind, got.code)
			}
		}
	}
}
