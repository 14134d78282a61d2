package outbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// wire calls a handler without a network, which a fake clock would wait for.
type wire struct {
	h    http.Handler
	down func() bool
	mu   sync.Mutex
	at   []time.Time // of all attempts
}

func (l *wire) attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.at)
}

var errDown = errors.New("connection refused")

// RoundTrip implements http.RoundTripper.
func (l *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.at = append(l.at, time.Now())
	l.mu.Unlock()
	if l.down() {
		return nil, errDown
	}
	rec := httptest.NewRecorder()
	l.h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// TestAnHourDown: the clock is a fake one. An endpoint is down for an hour while
// events go on. Each arrives, with one id, verified by the published library; while
// the circuit breaker is open nothing is called.
func TestAnHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, store.Options{})
		r := &receiver{}
		var mu sync.Mutex
		var transitions []webhook.BreakerState
		w.hooks = outbox.Hooks{Breaker: func(to webhook.BreakerState) {
			mu.Lock()
			defer mu.Unlock()
			transitions = append(transitions, to)
		}}
		retries := 20
		made := w.create(webhook.Definition{Name: "ops", URL: "https://ops.example.com/", Events: []string{"job.submitted"},
			Retry: &webhook.Retry{MaxRetries: &retries, InitialDelay: "10s", MaxDelay: "10m"}})
		begin := time.Now()
		end := begin.Add(time.Hour)
		line := &wire{h: r, down: func() bool { return time.Now().Before(end) }}
		stop := w.run(&http.Client{Transport: line})
		var jobs []string
		for range 60 {
			jobs = append(jobs, w.cancel(job.Spec{VMPath: "/a"}).ID)
			time.Sleep(time.Minute)
		}
		time.Sleep(30 * time.Minute)
		stop()
		done := w.deliveries("ops", webhook.Delivered)
		if len(done) != 60 {
			t.Fatalf("%d of 60 delivered, %d dead", len(done), len(w.deliveries("ops", webhook.Dead)))
		}
		ids := map[string]int{}
		for _, g := range r.all() {
			ids[g.id]++
		}
		for _, d := range done {
			if ids[d.ID] == 0 || !slices.Contains(jobs, d.JobID) {
				t.Errorf("%s: %d", d.ID, ids[d.ID])
			}
		}
		if len(ids) != 60 {
			t.Errorf("%d ids for 60 events", len(ids))
		}
		if err := w.verify(made.Secret.Reveal(), r.all()[59]); err == nil {
			t.Error("a signature of half an hour ago verifies: the time is not signed")
		}
		checkOutage(t, line.at, transitions, end)
	})
}

// checkOutage judges the attempts: five failures open the breaker, then one attempt
// a minute finds out, and two successes close it.
func checkOutage(t *testing.T, at []time.Time, transitions []webhook.BreakerState, end time.Time) {
	t.Helper()
	during := slices.DeleteFunc(slices.Clone(at), func(a time.Time) bool { return !a.Before(end) })
	for i := 5; i < len(during); i++ {
		if gap := during[i].Sub(during[i-1]); gap < time.Minute {
			t.Errorf("an attempt %s after the one before: the circuit breaker was open", gap)
		}
	}
	if len(during) < 20 || len(during) > 66 {
		t.Errorf("%d attempts during the outage", len(during))
	}
	probes := len(during) - 5
	want := []webhook.BreakerState{webhook.Open}
	for range probes {
		want = append(want, webhook.HalfOpen, webhook.Open)
	}
	want = append(want, webhook.HalfOpen, webhook.Closed)
	if !slices.Equal(transitions, want) {
		t.Errorf("transitions %v, want %v", transitions, want)
	}
}

// TestARestartKeepsTheBreakerOpen: what is stored is what the next life goes by.
func TestARestartKeepsTheBreakerOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, store.Options{})
		w.create(webhook.Definition{Name: "ops", URL: "https://ops.example.com/", Events: []string{"job.submitted"},
			Breaker: &webhook.BreakerPolicy{FailureThreshold: 1, Timeout: "10m"}, Retry: &webhook.Retry{InitialDelay: "1s", BackoffFactor: 1}})
		line := &wire{down: func() bool { return true }}
		stop := w.run(&http.Client{Transport: line})
		w.cancel(job.Spec{VMPath: "/a"})
		time.Sleep(10 * time.Second)
		stop()
		stop = w.run(&http.Client{Transport: line})
		time.Sleep(9 * time.Minute)
		before := line.attempts()
		time.Sleep(2 * time.Minute)
		stop()
		if before != 1 || line.attempts() != 2 {
			t.Errorf("%d attempts while it was open, %d after it", before, line.attempts())
		}
		d := w.deliveries("ops", "")
		if len(d) != 1 || d[0].Attempts != 2 || d[0].State != webhook.Pending {
			t.Errorf("%+v", d)
		}
	})
}

// TestADeadEndpointStarvesNobody: more endpoints hang than are called at once, and
// one answers.
func TestADeadEndpointStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, store.Options{})
		r := &receiver{}
		line := &lines{quick: r}
		_, err := w.svc.CreateTenant(t.Context(), w.us, "other", service.TenantChange{})
		w.must(err)
		us, them := w.us, tenant.NewPrincipal("other", "them", tenant.All()...)
		for _, w.us = range []tenant.Principal{them, us} {
			for i := range 45 {
				w.create(webhook.Definition{Name: fmt.Sprint("dead-", i), URL: "https://dead.example.com/", Events: []string{"job.submitted"}, Timeout: "60s",
					Breaker: never(), Retry: &webhook.Retry{InitialDelay: "10ms", BackoffFactor: 1}})
			}
		}
		stop := w.run(&http.Client{Transport: line})
		defer stop()
		for _, w.us = range []tenant.Principal{them, us} {
			w.cancel(job.Spec{VMPath: "/first"})
		}
		time.Sleep(10 * time.Minute) // all have failed once: they have the lane of those that fail
		w.create(webhook.Definition{Name: "well", URL: "https://well.example.com/", Events: []string{"job.submitted"}})
		begin := time.Now()
		for range 10 {
			w.cancel(job.Spec{VMPath: "/a"})
		}
		for r.count() < 10 {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// lines hang for hosts named dead.
type lines struct{ quick http.Handler }

// RoundTrip implements http.RoundTripper.
func (l *lines) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "dead.example.com" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	rec := httptest.NewRecorder()
	l.quick.ServeHTTP(rec, r)
	return rec.Result(), nil
}
