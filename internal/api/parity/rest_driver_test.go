package parity_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// restDriver makes calls by HTTP as the OpenAPI document says.
type restDriver struct {
	base   string
	routes map[string]route // by operation id
	client *http.Client
}

type route struct {
	method, path string
	private      bool
	keyed        bool // it documents the idempotency key
}

func newREST(t *testing.T, addr string) *restDriver {
	t.Helper()
	d := &restDriver{base: "http://" + addr, routes: map[string]route{}, client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(d.client.CloseIdleConnections)
	res, err := d.client.Get(d.base + "/openapi.json")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string                `json:"operationId"`
			Security    []map[string][]string `json:"security"`
			Parameters  []struct {
				Name string `json:"name"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	must(t, json.NewDecoder(res.Body).Decode(&doc))
	for path, methods := range doc.Paths {
		for method, op := range methods {
			r := route{method: strings.ToUpper(method), path: path, private: op.Security != nil && op.OperationID != "socket"} // which is stream_events once more
			for _, p := range op.Parameters {
				r.keyed = r.keyed || p.Name == "Idempotency-Key"
			}
			d.routes[op.OperationID] = r
		}
	}
	return d
}

func (*restDriver) door() string { return "rest" }

func (d *restDriver) lacks(op string) string {
	if _, ok := d.routes[op]; !ok {
		return "it is not in the OpenAPI document"
	}
	return ""
}

func (d *restDriver) do(t *testing.T, c call) outcome {
	t.Helper()
	to := d.routes[c.op]
	path := strings.NewReplacer("{id}", url.PathEscape(c.id), "{pos}", url.PathEscape(c.id), "{key}", url.PathEscape(c.key), "{delivery}", url.PathEscape(c.key)).Replace(to.path)
	query := url.Values{}
	for name, v := range c.query {
		if list, ok := v.([]string); ok {
			query[name] = list
			continue
		}
		query.Set(name, fmt.Sprint(v))
	}
	body, contentType := c.text, "application/yaml"
	if c.body != nil {
		text, err := json.Marshal(c.body)
		must(t, err)
		body, contentType = string(text), "application/json"
	}
	req, err := http.NewRequestWithContext(t.Context(), to.method, d.base+path+"?"+query.Encode(), strings.NewReader(body))
	must(t, err)
	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.secret != "" {
		req.Header.Set("X-Api-Key", c.secret)
	}
	if c.idempotent != "" {
		req.Header.Set("Idempotency-Key", c.idempotent)
	}
	res, err := d.client.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	out := d.outcome(t, c, res, text)
	out.replayed = res.Header.Get("Idempotent-Replayed") == "true"
	return out
}

// kindsOfREST are the kinds of the statuses.
var kindsOfREST = map[int]string{
	400: "invalid", 401: "unauthenticated", 403: "denied", 404: "not_found", 409: "conflict", 413: "invalid", 422: "unprocessable",
	429: "exhausted", 500: "internal", 503: "unavailable", 504: "timeout",
}

func (d *restDriver) outcome(t *testing.T, c call, res *http.Response, text []byte) outcome {
	t.Helper()
	if res.StatusCode < 300 {
		if c.op == "job_events" || c.op == "stream_events" {
			return outcome{value: eventsOf(t, text)}
		}
		return outcome{value: parse(t, text)}
	}
	var p struct {
		Detail string `json:"detail"`
		Code   string `json:"code"`
		Fix    string `json:"fix"`
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatalf("%s: %d %s", c.op, res.StatusCode, text)
	}
	out := outcome{kind: kindsOfREST[res.StatusCode], code: p.Code, message: p.Detail, fix: p.Fix}
	for _, e := range p.Errors {
		out.items = append(out.items, e.Code)
	}
	return out
}

// eventsOf reads the events of a stream that ended.
func eventsOf(t *testing.T, stream []byte) []any {
	t.Helper()
	var all []any
	for message := range strings.SplitSeq(string(stream), "\n\n") {
		if _, data, ok := strings.Cut(message, "\ndata: "); ok && strings.HasPrefix(message, "id: ") && !strings.Contains(message, "\nevent: ready\n") {
			all = append(all, parse(t, []byte(data)))
		}
	}
	return all
}

// parse decodes JSON and keeps its numbers as they are written.
func parse(t *testing.T, text []byte) any {
	t.Helper()
	if len(text) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
