package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/egress"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/webhook"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sealer, _ = seal.New(make([]byte, 32))

func loopback() *http.Client {
	return egress.Policy{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}.Client()
}

func task(url string) workflow.Task {
	var t workflow.Task
	t.Step = job.Step{ID: "notify", Type: "webhook", URL: url, Message: "done: \"x\"\nbye"}
	t.Parent.ID, t.Parent.Spec.Name, t.Job.ID = "j1", "nightly", "j1.notify"
	t.Input = &job.Outcome{Artifacts: []job.Artifact{{Name: "a.ova"}}}
	t.States = []job.StepState{{ID: "export", State: job.StepCompleted}}
	return t
}

func TestWhatIsPosted(t *testing.T) {
	var got Message
	var header http.Header
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	if _, err := New(loopback(), sealer, "hypervisord/test").Execute(t.Context(), task(s.URL+"/secret")); err != nil {
		t.Fatal(err)
	}
	if got.Job != "j1" || got.Workflow != "nightly" || got.Step != "notify" || got.Message != "done: \"x\"\nbye" || got.Text != got.Message ||
		len(got.Artifacts) != 1 || got.Steps[0].ID != "export" {
		t.Errorf("%+v", got)
	}
	if header.Get("Idempotency-Key") != "j1.notify" || header.Get("User-Agent") != "hypervisord/test" {
		t.Error(header)
	}
}

func TestSlackGetsItsText(t *testing.T) {
	text, err := body(task("https://hooks.slack.com/services/T/B/x"))
	if err != nil || string(text) != `{"text":"done: \"x\"\nbye"}` {
		t.Fatal(string(text), err)
	}
}

// TestAnswers: the kind decides about another attempt; the URL is in no message.
func TestAnswers(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	for status, want := range map[int]fault.Kind{
		302: fault.Unprocessable, 400: fault.Unprocessable, 404: fault.Unprocessable, 408: fault.Unavailable, 429: fault.Exhausted, 500: fault.Unavailable, 503: fault.Unavailable,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, r.URL.Path)
		}))
		_, err := New(loopback(), sealer, "").Execute(t.Context(), task(s.URL+"/secret"))
		s.Close()
		if !fault.Is(err, want) || strings.Contains(fault.Detail(err), "secret") {
			t.Errorf("%d: %v", status, fault.Detail(err))
		}
		_, err = New(loopback(), sealer, "").Execute(t.Context(), task(s.URL+"/secret")) // closed by now
		if !fault.Is(err, fault.Unavailable) || strings.Contains(fault.Detail(err), "secret") {
			t.Errorf("no server: %v", fault.Detail(err))
		}
	}
}

// TestAddressesInsideAreRefused: the guard is egress's; here it is asked.
func TestAddressesInsideAreRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	defer s.Close()
	if _, err := New(egress.Policy{}.Client(), sealer, "").Execute(t.Context(), task(s.URL+"/secret")); !fault.Is(err, fault.Denied) || strings.Contains(fault.Detail(err), "secret") {
		t.Error(fault.Detail(err))
	}
}

// TestASealedURL: the store has nothing of it but the host, for no other tenant.
func TestASealedURL(t *testing.T) {
	path := ""
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path = r.URL.RequestURI() }))
	defer s.Close()
	ours := task(webhook.SealURL(sealer, "ours", s.URL+"/secret?token=x"))
	if again := webhook.SealURL(sealer, "ours", ours.Step.URL); strings.Contains(ours.Step.URL, "secret") || again != ours.Step.URL {
		t.Fatal(ours.Step.URL)
	}
	if shown := job.ShownURL(ours.Step.URL); shown != s.URL+"/[hidden]" {
		t.Error(shown)
	}
	ours.Parent.Tenant = "theirs"
	if _, err := New(loopback(), sealer, "").Execute(t.Context(), ours); !fault.Is(err, fault.Corrupt) || path != "" {
		t.Errorf("another tenant: %v", err)
	}
	ours.Parent.Tenant = "ours"
	if _, err := New(loopback(), sealer, "").Execute(t.Context(), ours); err != nil || path != "/secret?token=x" {
		t.Error(path, err)
	}
}

func TestASlowReceiverIsGivenUp(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer s.Close()
	defer close(hold)
	h := New(loopback(), sealer, "")
	h.wait = 50 * time.Millisecond
	if _, err := h.Execute(t.Context(), task(s.URL)); !fault.Is(err, fault.Timeout) {
		t.Fatal(err)
	}
}
