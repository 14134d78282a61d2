package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is the OpenAPI document as a stranger reads it: the schemas of
// OpenAPI 3.1 are JSON Schema 2020-12, and an independent validator judges.
type document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

const base = "https://hypervisord.test/openapi.json"

func fetchDocument(t testing.TB, server *httptest.Server) *document {
	t.Helper()
	res, err := server.Client().Get(server.URL + "/openapi.json")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	value, err := jsonschema.UnmarshalJSON(res.Body)
	must(t, err)
	root, ok := value.(map[string]any)
	if !ok || !strings.HasPrefix(fmt.Sprint(root["openapi"]), "3.1.") {
		t.Fatalf("no OpenAPI 3.1 document: %v", value)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	must(t, c.AddResource(base, root))
	return &document{root: root, compiler: c, compiled: map[string]*jsonschema.Schema{}}
}

// validate judges a JSON text by the schema at a JSON pointer.
func (d *document) validate(text []byte, pointer ...string) error {
	schema, err := d.schema(pointer...)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func (d *document) schema(pointer ...string) (*jsonschema.Schema, error) {
	fragment := ""
	for _, p := range pointer {
		fragment += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.compiled[fragment]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile(base + "#" + (&url.URL{Fragment: fragment}).EscapedFragment())
	if err == nil {
		d.compiled[fragment] = s
	}
	return s, err
}

// at walks the document.
func (d *document) at(path ...string) map[string]any {
	node := d.root
	for _, p := range path {
		next, ok := node[p].(map[string]any)
		if !ok {
			return nil
		}
		node = next
	}
	return node
}

// operation finds the documented operation of a request.
func (d *document) operation(method, path string) []string {
	segments := strings.Split(path, "/")
	var best []string
	for template := range d.at("paths") {
		parts := strings.Split(template, "/")
		if len(parts) != len(segments) || d.at("paths", template, strings.ToLower(method)) == nil {
			continue
		}
		fits, literal := true, true
		for i, p := range parts {
			if strings.HasPrefix(p, "{") {
				literal = false
			} else if p != segments[i] {
				fits = false
			}
		}
		if fits && (best == nil || literal) {
			best = []string{"paths", template, strings.ToLower(method)}
		}
	}
	return best
}

// conformance is a transport that compares every exchange with the document.
type conformance struct {
	t    *testing.T
	doc  *document
	next http.RoundTripper
}

func newConformance(t *testing.T, server *httptest.Server) *conformance {
	t.Helper()
	return &conformance{t: t, doc: fetchDocument(t, server), next: server.Client().Transport}
}

func (c *conformance) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		if sent, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	res, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := c.check(req, sent, res); err != nil {
		c.t.Errorf("%s %s → %d does not conform to the document: %v", req.Method, req.URL.Path, res.StatusCode, err)
	}
	return res, nil
}

func (c *conformance) check(req *http.Request, sent []byte, res *http.Response) error {
	op := c.doc.operation(strings.Replace(req.Method, "HEAD", "GET", 1), req.URL.EscapedPath())
	if op == nil {
		if res.StatusCode < 300 {
			return fmt.Errorf("the operation is not documented")
		}
		return c.body(res, "components", "schemas", "Problem")
	}
	if mediaType(req.Header) == "application/json" && len(sent) > 0 && res.StatusCode < 300 {
		if err := c.doc.validate(sent, slices.Concat(op, []string{"requestBody", "content", "application/json", "schema"})...); err != nil {
			return fmt.Errorf("the request was accepted: %w", err)
		}
	}
	response := slices.Concat(op, []string{"responses", strconv.Itoa(res.StatusCode)})
	if c.doc.at(response...) == nil {
		if res.StatusCode < 300 {
			return fmt.Errorf("the status is not documented")
		}
		response = slices.Concat(op, []string{"responses", "default"})
	}
	content := c.doc.at(slices.Concat(response, []string{"content"})...)
	mt := mediaType(res.Header)
	switch {
	case content == nil:
		if mt != "" {
			return fmt.Errorf("content %s where none is documented", mt)
		}
		return nil
	case content[mt] == nil && content[mt+"; charset=utf-8"] == nil:
		return fmt.Errorf("content type %q is not documented: %v", mt, content)
	case !strings.HasSuffix(mt, "json"), req.Method == http.MethodHead:
		return nil
	}
	return c.body(res, slices.Concat(response, []string{"content", mt, "schema"})...)
}

// body judges the body and leaves it as it was.
func (c *conformance) body(res *http.Response, pointer ...string) error {
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(text))
	if err := c.doc.validate(text, pointer...); err != nil {
		return fmt.Errorf("%w\nin %s", err, text)
	}
	return nil
}

func mediaType(h http.Header) string {
	mt, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mt
}

// Every schema compiles (so every reference resolves), every operation has a
// name of its own, an answer, a failure, and its path's parameters.
func TestDocumentIsWhole(t *testing.T) {
	w := newWorld(t)
	d := fetchDocument(t, w.server)
	names := map[string]bool{}
	for name := range d.at("components", "schemas") {
		if _, err := d.schema("components", "schemas", name); err != nil {
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
