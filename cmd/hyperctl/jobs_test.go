package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const key = "hvk_TESTTESTTESTTESTTESTTEST"

type anything struct{}

func (anything) Validate(context.Context, job.Spec) error { return nil }

// daemon is a store behind the real API, without workers.
func daemon(t *testing.T) (s *store.Store, ctl func(args ...string) (code int, out, errOut string)) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	sealer, err := seal.New(make([]byte, 32))
	must(t, err)
	api, err := rest.New(t.Context(), rest.Deps{
		Service: service.New(s, service.Deps{Validator: anything{}, Feed: s, Seal: sealer}), Audit: service.NewAudit(s),
		Gate: gate.New(auth.NewKey(sha256.Sum256([]byte(key)), tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...)), nil),
		Log:  slog.New(slog.DiscardHandler), Version: "test",
	})
	must(t, err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Setenv("HYPERVISORD_API_KEY", key)
	return s, func(args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := run(append([]string{"--server", server.URL}, args...), strings.NewReader(""), &out, &errOut)
		return code, out.String(), errOut.String()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

func TestChangeJobs(t *testing.T) {
	s, ctl := daemon(t)
	want := func(code int, text string, args ...string) string {
		t.Helper()
		got, out, errOut := ctl(args...)
		if got != code || !strings.Contains(out+errOut, text) {
			t.Fatalf("%v: exit code %d, want %d with %q:\n%s%s", args, got, code, text, out, errOut)
		}
		return strings.TrimSpace(out)
	}
	first := want(0, "", "jobs", "submit", "--vm", "/DC/vm/web-01")
	second := want(0, "", "jobs", "submit", "--vm", "/DC/vm/web-02")
	want(0, "pending (paused), priority normal", "jobs", "pause", "--reason", "maintenance", first)
	want(0, "hyperctl jobs resume "+first, "jobs", "explain", first)
	want(0, "pending (slot), priority normal", "jobs", "resume", first)
	want(0, "pending (slot), priority high", "jobs", "priority", "--to", "high", second)
	want(0, "1 job goes first", "jobs", "explain", first)
	want(0, "hyperctl jobs priority --to critical "+first, "jobs", "explain", first)
	want(2, "critical, high, normal, low", "jobs", "priority", "--to", "urgent", second)
	want(2, "to", "jobs", "priority", second)
	want(0, "2 jobs match", "jobs", "bulk", "pause", "--vm", "web-*", "--dry-run")
	want(0, "2 changed, 0 unchanged, 0 failed", "jobs", "bulk", "pause", "--vm", "web-*")
	want(0, "1 changed, 0 unchanged", "jobs", "bulk", "resume", "--priority", "high")
	leases, err := s.Claim(t.Context(), "a", time.Minute, 5)
	must(t, err)
	if len(leases) != 1 || leases[0].Job.ID != second {
		t.Fatalf("claimed %+v", leases)
	}
	want(3, "HX-JOB-043", "jobs", "pause", second)
	_, err = s.Apply(t.Context(), leases[0], job.FailWith("a", fault.New(fault.Corrupt, "HX-TEST-001", "bad", "")))
	must(t, err)
	want(0, "it is failed", "jobs", "explain", second)
	want(0, "1 changed", "jobs", "bulk", "retry", "--status", "failed", "--since", "1h")
	want(0, "pending (slot), priority high", "jobs", "retry", second)
	want(2, "filter is empty", "jobs", "bulk", "cancel")
}
