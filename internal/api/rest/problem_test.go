package rest

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// kinds lists every kind: the first name that comes again ends it.
func kinds() []fault.Kind {
	all := []fault.Kind{fault.Internal}
	for k := fault.Internal + 1; k.String() != fault.Internal.String(); k++ {
		all = append(all, k)
	}
	return all
}

// The table is a promise (design §4).
func TestEveryKindHasItsStatus(t *testing.T) {
	want := map[string]int{
		"internal": 500, "invalid": 400, "unauthenticated": 401, "denied": 403, "not_found": 404, "conflict": 409,
		"unprocessable": 422, "exhausted": 429, "cancelled": 499, "unavailable": 503, "timeout": 504, "corrupt": 500,
	}
	all := kinds()
	if len(all) != len(want) || len(statuses) != len(want) {
		t.Fatalf("%d kinds, %d in the table, %d here", len(all), len(statuses), len(want))
	}
	a := &API{deps: Deps{Log: slog.New(slog.DiscardHandler)}}
	for _, k := range all {
		w := httptest.NewRecorder()
		cause := errors.New("SELECT secret FROM /var/lib")
		err := &fault.Error{Kind: k, Code: "HX-T-001", Msg: "what", Fix: "how", Err: cause}
		a.refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		var p Problem
		if w.Code != want[k.String()] || json.Unmarshal(w.Body.Bytes(), &p) != nil {
			t.Errorf("%s: %d %s", k, w.Code, w.Body)
		}
		if p.Status != w.Code || p.Title == "" || p.Detail != "what" || p.Fix != "how" || p.Code != "HX-T-001" {
			t.Errorf("%s: %+v", k, p)
		}
		if strings.Contains(w.Body.String(), "SELECT") {
			t.Errorf("%s: the cause is answered", k)
		}
		if retry := w.Header().Get("Retry-After") != ""; retry != (w.Code == 429 || w.Code == 503) {
			t.Errorf("%s: Retry-After %v", k, retry)
		}
		if ask := w.Header().Get("WWW-Authenticate") != ""; ask != (w.Code == 401) {
			t.Errorf("%s: WWW-Authenticate %v", k, ask)
		}
	}
}

func TestUnclassifiedErrorsSayNothing(t *testing.T) {
	var log strings.Builder
	a := &API{deps: Deps{Log: slog.New(slog.NewJSONHandler(&log, nil))}}
	w := httptest.NewRecorder()
	a.refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), errors.New("open /etc/shadow: denied"))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "shadow") {
		t.Fatal(w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "shadow") {
		t.Fatal("the cause is not in the log")
	}
}

type anyone struct{}

func (anyone) Authenticate(*http.Request) (tenant.Principal, error) { return tenant.Principal{}, nil }

// The read deadline of the server cures slow headers, not slow bodies.
func TestSlowBody(t *testing.T) {
	a, err := New(t.Context(), Deps{Log: slog.New(slog.DiscardHandler), Gate: gate.New(anyone{}, nil)})
	if err != nil {
		t.Fatal(err)
	}
	a.body = 50 * time.Millisecond
	server := httptest.NewServer(a)
	defer server.Close()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "POST /jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c) // to the end: the connection is closed
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 408 ") || !strings.Contains(string(all), "HX-API-004") {
		t.Fatalf("%v: %s", err, all)
	}
}
