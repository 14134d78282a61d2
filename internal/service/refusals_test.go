package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// refusalLog is a log that only takes refusals.
type refusalLog struct {
	service.AuditStore
	mu    sync.Mutex
	taken []event.Refusal
}

func (l *refusalLog) AppendRefusals(_ context.Context, r []event.Refusal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, r...)
	return nil
}

func (l *refusalLog) entries() []event.Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.taken)
}

// TestRefusals: repetitions and floods are counted, none is lost, and few entries
// are written.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &refusalLog{}
		r := service.NewRefusals(l, nil, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		note := func(actor string) {
			r.Note(event.Refusal{Tenant: "ours", Actor: actor, Operation: "submit_jobs", Code: "HX-AUTH-002", Origin: tenant.Origin{IP: "10.0.0.1"}})
		}
		note("a")
		pass(2 * time.Second)
		if len(l.entries()) != 1 || l.entries()[0].Count != 1 {
			t.Fatalf("%+v", l.entries())
		}
		for range 1000 {
			note("a")
		}
		pass(2 * time.Second)
		if len(l.entries()) != 1 {
			t.Fatalf("repetitions are written one by one: %+v", l.entries()[1:])
		}
		pass(time.Minute)
		if len(l.entries()) != 2 || l.entries()[1].Count != 1000 {
			t.Fatalf("%+v", l.entries())
		}
		for i := range 100_000 {
			note(fmt.Sprint(i))
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for _, e := range l.entries() {
			total += e.Count
		}
		if total != 101_001 || len(l.entries()) > 300 {
			t.Errorf("%d attempts in %d entries", total, len(l.entries()))
		}
	})
}
