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

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

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
	if _, err := New(loopback, "hypervisord/test").Execute(t.Context(), task(s.URL+"/secret")); err != nil {
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
		_, err := New(loopback, "").Execute(t.Context(), task(s.URL+"/secret"))
		s.Close()
		if !fault.Is(err, want) || strings.Contains(fault.Detail(err), "secret") {
			t.Errorf("%d: %v", status, fault.Detail(err))
		}
		_, err = New(loopback, "").Execute(t.Context(), task(s.URL+"/secret")) // closed by now
		if !fault.Is(err, fault.Unavailable) || strings.Contains(fault.Detail(err), "secret") {
			t.Errorf("no server: %v", fault.Detail(err))
		}
	}
}

// TestAddressesInsideAreRefused: whatever the name resolved to.
func TestAddressesInsideAreRefused(t *testing.T) {
	called := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer s.Close()
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "127.1"} {
		_, err := New(nil, "").Execute(t.Context(), task("http://"+host+port+"/"))
		if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Unavailable) { // a name that is none does not resolve
			t.Errorf("%s: %v", host, err)
		}
	}
	if called {
		t.Error("it was called")
	}
	for text, want := range map[string]bool{
		"10.1.2.3": false, "192.168.0.1": false, "172.16.0.1": false, "169.254.169.254": false, "100.64.0.1": false, "fe80::1": false,
		"fd00::1": false, "::": false, "::1": false, "224.0.0.1": false, "255.255.255.255": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
		"0.1.2.3": false, "198.18.0.1": false, "ff02::1": false, "93.184.216.34": true, "2606:2800:220:1::1": true,
	} {
		if got := guard(nil)("tcp", netip.AddrPortFrom(netip.MustParseAddr(text), 80).String(), nil) == nil; got != want {
			t.Errorf("%s: allowed %v", text, got)
		}
	}
	if guard(loopback)("tcp", "[::ffff:127.0.0.1]:80", nil) != nil || guard(loopback)("tcp", "10.0.0.1:80", nil) == nil {
		t.Error("allow_private")
	}
}

func TestASlowReceiverIsGivenUp(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer s.Close()
	defer close(hold)
	h := New(loopback, "")
	h.wait = 50 * time.Millisecond
	if _, err := h.Execute(t.Context(), task(s.URL)); !fault.Is(err, fault.Timeout) {
		t.Fatal(err)
	}
}
