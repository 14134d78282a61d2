package stream_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// keys lets in until it says why not.
type keys struct{ no atomic.Pointer[fault.Error] }

func (k *keys) Authenticate(*http.Request) (tenant.Principal, error) {
	if no := k.no.Load(); no != nil {
		return tenant.Principal{}, no
	}
	return tenant.NewPrincipal("a", "key:x", tenant.JobRead), nil
}

// A credential that is withdrawn keeps its streams for half a minute at most; a
// store that does not answer withdraws none.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keys{}
		h := stream.NewHall(t.Context(), gate.New(k, nil))
		ctx, stop := h.Guard(t.Context(), httptest.NewRequest(http.MethodGet, "/events", http.NoBody), "rest")
		defer stop()
		k.no.Store(fault.New(fault.Unavailable, "HX-T-1", "the database is away", ""))
		<-time.After(5 * time.Minute)
		if ctx.Err() != nil {
			t.Fatal("ended with the database: ", context.Cause(ctx))
		}
		k.no.Store(fault.New(fault.Unauthenticated, "HX-T-2", "revoked", ""))
		begin := time.Now()
		<-ctx.Done()
		if took := time.Since(begin); took > stream.Recheck || !fault.Is(context.Cause(ctx), fault.Unauthenticated) {
			t.Errorf("ended after %v: %v", took, context.Cause(ctx))
		}
		if code, _ := stream.CodeOf(context.Cause(ctx)); code != stream.CodeUnauthorized {
			t.Errorf("closed by %d", code)
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doors, shutdown := context.WithCancel(t.Context())
		h := stream.NewHall(doors, gate.New(&keys{}, nil))
		p := tenant.NewPrincipal("a", "key:x", tenant.JobRead)
		leave, err := h.Admit(p)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := h.Guard(t.Context(), httptest.NewRequest(http.MethodGet, "/events", http.NoBody), "rest")
		shutdown()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), stream.ErrStopping) {
			t.Errorf("ended by %v", context.Cause(ctx))
		}
		stop()
		waited := make(chan struct{})
		go func() {
			h.Wait(t.Context())
			close(waited)
		}()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("did not wait for the stream")
		default:
		}
		leave()
		leave() // twice
		<-waited
		late, stop := h.Guard(t.Context(), httptest.NewRequest(http.MethodGet, "/events", http.NoBody), "rest")
		defer stop()
		<-late.Done()
	})
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	h := stream.NewHall(t.Context(), gate.New(&keys{}, nil))
	p := tenant.NewPrincipal("a", "key:x")
	var leave func()
	for range stream.PerPrincipal {
		var err error
		if leave, err = h.Admit(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Admit(p); !fault.Is(err, fault.Exhausted) {
		t.Errorf("one more: %v", err)
	}
	for _, other := range []tenant.Principal{tenant.NewPrincipal("b", "key:x"), tenant.NewPrincipal("a", "key:y")} {
		if _, err := h.Admit(other); err != nil {
			t.Errorf("another caller: %v", err)
		}
	}
	leave()
	if _, err := h.Admit(p); err != nil {
		t.Errorf("after one left: %v", err)
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for origin, ok := range map[string]bool{
		"": true, "http://host:8080": true, "https://HOST:8080": true, "http://host": false, "http://evil.example": false, "null": false,
		"http://host:8080.evil.example": false, "http://evil.example/host:8080": false, "::": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "http://host:8080/ws", http.NoBody)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if err := stream.SameOrigin(r); (err == nil) != ok {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
