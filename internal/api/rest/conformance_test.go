package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/api/conform"
)

// document is the OpenAPI document as a stranger reads it.
type document struct{ *conform.Document }

func fetchDocument(t testing.TB, server *httptest.Server) *document {
	t.Helper()
	d, err := conform.Fetch(context.Background(), server.Client(), server.URL)
	must(t, err)
	return &document{d}
}

func (d *document) validate(text []byte, pointer ...string) error {
	return d.Validate(text, pointer...)
}

func (d *document) at(path ...string) map[string]any { return d.At(path...) }

// newConformance is a transport that compares every exchange with the document.
func newConformance(t *testing.T, server *httptest.Server) *conform.Transport {
	t.Helper()
	return &conform.Transport{Document: fetchDocument(t, server).Document, Next: server.Client().Transport, Report: t.Errorf}
}

// Every schema compiles (so every reference resolves), every operation has a
// name of its own, an answer, a failure, and its path's parameters.
func TestDocumentIsWhole(t *testing.T) {
	w := newWorld(t)
	d := fetchDocument(t, w.server)
	names := map[string]bool{}
	for name := range d.at("components", "schemas") {
		if _, err := d.Schema("components", "schemas", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, "Error") {
			t.Errorf("%s is huma's own error", name)
		}
	}
	for path := range d.at("paths") {
		for method, op := range d.at("paths", path) {
			text, err := json.Marshal(op)
			must(t, err)
			name := fmt.Sprint(op.(map[string]any)["operationId"])
			if names[name] || name == "<nil>" {
				t.Errorf("%s %s: operationId %s", method, path, name)
			}
			names[name] = true
			for part := range strings.SplitSeq(path, "/") {
				if strings.HasPrefix(part, "{") && !strings.Contains(string(text), `"in":"path","name":"`+strings.Trim(part, "{}")+`"`) {
					t.Errorf("%s %s: %s is not documented", method, path, part)
				}
			}
			if d.at("paths", path, method, "responses", "default") == nil && path != "/openapi.json" && path != "/metrics" {
				t.Errorf("%s %s: no failure is documented", method, path)
			}
		}
	}
	if got := d.at("components", "schemas", "Job", "properties", "status")["enum"]; fmt.Sprint(got) != "[pending running cancelling completed failed cancelled]" {
		t.Errorf("states: %v", got)
	}
}

// What the mux answers is in the document, and nothing else is.
func TestDocumentNamesEveryRoute(t *testing.T) {
	w := newWorld(t)
	d := fetchDocument(t, w.server)
	for path := range d.at("paths") {
		for method := range d.at("paths", path) {
			if path == "/jobs/{id}/events" || path == "/events" {
				continue
			}
			got := w.call(strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "x"), "")
			if got.status == http.StatusMethodNotAllowed || got.status == http.StatusNotFound && got.problem(t).Code == "HX-API-001" {
				t.Errorf("%s %s is not routed: %+v", method, path, got)
			}
		}
	}
}
