package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// call is a call of the scope's caller under a key, that answers with a text.
func call(s tenant.Scope, key, asks, answers string) *tenant.Once {
	return &tenant.Once{
		Tenant: s.Tenant(), Principal: s.Actor(), Key: key, Digest: []byte(asks),
		Answer: func() ([]byte, error) { return []byte(answers), nil },
	}
}

// put stores a profile under a call; the profiles count how often.
func (w *world) put(s tenant.Scope, o *tenant.Once, id string) error {
	return w.Update(w.ctx, s.Under(o), func(tx service.Tx) error {
		return tx.PutProfile(service.StoredProfile{ID: id, Text: "defaults: {}", UpdatedAt: w.now()})
	})
}

func (w *world) countProfiles(s tenant.Scope) int {
	w.Helper()
	all, err := w.Reader(s).Profiles(w.ctx)
	w.must(err)
	return len(all)
}

func testOnce(w *world) {
	first := call(w.ours, "k", "put", "one")
	w.must(w.put(w.ours, first, "a"))
	again := call(w.ours, "k", "put", "two")
	w.must(w.put(w.ours, again, "b"))
	if first.Found != nil || again.Found == nil || string(again.Found.Answer) != "one" || !again.Found.Done || w.countProfiles(w.ours) != 1 {
		w.Errorf("the second call: %+v, %d profiles", again.Found, w.countProfiles(w.ours))
	}
	w.wantKind(w.put(w.ours, call(w.ours, "k", "delete", ""), "c"), fault.Unprocessable)
	w.must(w.put(w.theirs, call(w.theirs, "k", "put", "theirs"), "a"))
	other := call(w.ours, "k", "put", "another's")
	other.Principal = "somebody else"
	w.must(w.put(w.ours, other, "d"))
	if other.Found != nil || w.countProfiles(w.ours) != 2 || w.countProfiles(w.theirs) != 1 {
		w.Error("the key is not the caller's own")
	}

	failed := errors.New("no")
	broken := call(w.ours, "broken", "put", "x")
	if err := w.Update(w.ctx, w.ours.Under(broken), func(tx service.Tx) error {
		return errors.Join(tx.DeleteProfile("a"), failed)
	}); !errors.Is(err, failed) {
		w.Error(err)
	}
	if old, err := w.Remembered(w.ctx, broken); err != nil || old != nil || w.countProfiles(w.ours) != 2 {
		w.Errorf("a call that failed is remembered: %+v, %v", old, err)
	}

	w.advance(24*time.Hour + time.Second)
	late := call(w.ours, "k", "delete", "late")
	w.must(w.put(w.ours, late, "e"))
	if late.Found != nil {
		w.Error("the key is not free after a day")
	}
	o := call(w.ours, "of the directory", "create", "")
	for range 2 { // else the id is taken
		w.must(w.CreateTenant(w.ctx, w.platform().Under(o), tenant.Account{ID: "once", Name: "Once", State: tenant.Active, CreatedAt: w.now()}))
	}
	if o.Found == nil {
		w.Error("a call of the directory is not remembered")
	}
}

// A call in steps is gone on with by one at a time.
func testOnceInSteps(w *world) {
	begun := call(w.ours, "k", "put", "half")
	begun.More = true
	w.must(w.put(w.ours, begun, "a"))
	if old, err := w.Remembered(w.ctx, begun); err != nil || old == nil || old.Done || old.Steps != 1 || string(old.Answer) != "half" {
		w.Fatalf("%+v, %v", old, err)
	}
	w.wantKind(w.put(w.ours, call(w.ours, "k", "put", "from the start"), "b"), fault.Conflict)
	next := call(w.ours, "k", "put", "whole")
	next.Steps = 1
	w.must(w.put(w.ours, next, "c"))
	w.must(w.Remember(w.ctx, next))
	if next.Found == nil || string(next.Found.Answer) != "whole" || w.countProfiles(w.ours) != 2 {
		w.Errorf("%+v, %d profiles", next.Found, w.countProfiles(w.ours))
	}
}

// Of many that make a call at the same time one is carried out.
func testOnceRace(w *world) {
	const n = 16
	answers := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			o := call(w.ours, "k", "put", strconv.Itoa(i))
			if err := w.put(w.ours, o, fmt.Sprint("p", i)); err != nil {
				w.Error(fault.Detail(err))
				return
			}
			if answers[i] = strconv.Itoa(i); o.Found != nil {
				answers[i] = string(o.Found.Answer)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] {
			w.Fatalf("the answers differ: %v", answers)
		}
	}
	if w.countProfiles(w.ours) != 1 {
		w.Errorf("%d calls are carried out", w.countProfiles(w.ours))
	}
}
