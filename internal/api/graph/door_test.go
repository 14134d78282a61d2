package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// roadmap is what users were promised, word for word.
const roadmap = `
type Query { jobs(status: JobStatus, limit: Int): [Job!]!  job(id: ID!): Job  vms(provider: Provider): [VM!]! }
type Mutation { submitJob(input: JobInput!): Job!  cancelJob(id: ID!): Job! }
type Subscription { jobUpdates(id: ID!): Job! }
type Job { id: ID!  vmPath: String!  status: JobStatus!  progress: Float  startedAt: DateTime  completedAt: DateTime  error: String }
enum JobStatus { PENDING } scalar Provider scalar DateTime
type VM { name: String! } input JobInput { vmPath: String format: String outputPath: String compress: Boolean }`

func loadSchema(t *testing.T) *ast.Schema {
	t.Helper()
	var text string
	for _, name := range []string{"roadmap", "jobs", "platform", "library", "webhooks", "audit"} {
		part, err := os.ReadFile("schema/" + name + ".graphql")
		must(t, err)
		text += string(part) + "\n"
	}
	s, err := gqlparser.LoadSchema(&ast.Source{Name: "ours", Input: text})
	must(t, err)
	return s
}

// Every query that the roadmap allows is allowed, and means the same.
func TestSchemaHoldsTheRoadmap(t *testing.T) {
	t.Parallel()
	promised, err := gqlparser.LoadSchema(&ast.Source{Name: "roadmap", Input: roadmap})
	must(t, err)
	ours := loadSchema(t)
	for name, p := range promised.Types {
		got := ours.Types[name]
		if got == nil || got.Kind != p.Kind {
			t.Errorf("%s is not there as a %s", name, p.Kind)
			continue
		}
		for _, f := range p.Fields {
			have := got.Fields.ForName(f.Name)
			if have == nil || have.Type.String() != f.Type.String() {
				t.Errorf("%s.%s: not of the type %s", name, f.Name, f.Type)
				continue
			}
			for _, a := range f.Arguments {
				if x := have.Arguments.ForName(a.Name); x == nil || x.Type.String() != a.Type.String() {
					t.Errorf("%s.%s(%s): not of the type %s", name, f.Name, a.Name, a.Type)
				}
			}
			for _, a := range have.Arguments {
				if f.Arguments.ForName(a.Name) == nil && a.Type.NonNull {
					t.Errorf("%s.%s: the argument %s is ours and must be optional", name, f.Name, a.Name)
				}
			}
		}
	}
}

// elsewhere are the operations that GraphQL does not have: those for machines and
// browsers.
var elsewhere = []string{"get_health", "get_livez", "get_readyz", "get_startupz", "openapi", "metrics", "workflow_schema", "socket", "get_auth_config",
	"job_schema", "profile_schema", "config_schema"}

// same are operations that differ in REST by their path only.
var same = map[string]string{
	"list_tenant_keys": "list_keys", "create_tenant_key": "create_key", "revoke_tenant_key": "revoke_key",
}

// Each operation of REST has a root field, each root field has an operation, and
// is charged as that.
func TestEveryOperationHasAField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var doc struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		} `json:"paths"`
	}
	res, err := w.server.Client().Get(w.server.URL + "/openapi.json")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	must(t, json.NewDecoder(res.Body).Decode(&doc))
	operations := map[string]bool{}
	for _, methods := range doc.Paths {
		for _, op := range methods {
			operations[op.ID] = true
		}
	}
	schema, fields := loadSchema(t), map[string]bool{}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, f := range root.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			d := f.Directives.ForName("operation")
			if d == nil {
				t.Errorf("%s.%s has no operation", root.Name, f.Name)
				continue
			}
			id := d.Arguments.ForName("id").Value.Raw
			fields[id] = true
			if !operations[id] {
				t.Errorf("%s.%s: the document has no operation %s", root.Name, f.Name, id)
			}
		}
	}
	for id := range operations {
		if !fields[id] && !fields[same[id]] && !slices.Contains(elsewhere, id) {
			t.Errorf("%s has no field", id)
		}
	}
}

// What is sent is what is stored, by the decoder of REST.
func TestSubmit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	const mutation = `mutation($in: JobInput!) { submitJob(input: $in) { id status vmPath priority labels spec startedAt } }`
	got := w.ask(mutation, map[string]any{"in": map[string]any{
		"vmPath": "/DC/vm/web-01", "outputPath": "out", "priority": "HIGH", "format": "qcow2", "compressionLevel": 3, "excludeDisks": []string{"2001"},
		"labels": map[string]any{"costCentre": "A b", "UPPER": "x"}, "notBefore": soon, "bandwidthLimit": "50MB",
	}}, "Idempotency-Key", "k1")
	id, _ := got.at("submitJob", "id").(string)
	j, err := w.svc.Get(t.Context(), root(), id)
	if err != nil || len(got.Errors) > 0 {
		t.Fatal(err, got.body)
	}
	s := j.Spec
	if s.VMPath != "/DC/vm/web-01" || s.Priority != job.High || s.CompressionLvl != 3 || s.Labels["costCentre"] != "A b" || s.Labels["UPPER"] != "x" ||
		s.NotBefore == nil || !s.NotBefore.Equal(soon) || s.BandwidthLimit != "50MB" || len(s.ExcludeDisks) != 1 {
		t.Errorf("stored: %+v", s)
	}
	if got.at("submitJob", "status") != "PENDING" || got.at("submitJob", "priority") != "HIGH" || got.at("submitJob", "spec", "compression_level") != 3.0 || got.at("submitJob", "startedAt") != nil {
		t.Errorf("answered: %s", got.body)
	}
	again := w.ask(mutation, map[string]any{"in": map[string]any{"vmPath": "/DC/vm/web-01"}}, "Idempotency-Key", "k1")
	if again.kind() != "unprocessable" {
		t.Errorf("the key with another job: %s", again.body)
	}
	two := w.ask(`mutation { a: pauseJob(id: "x") { id } ... { b: pauseJob(id: "y") { id } } }`, nil, "Idempotency-Key", "k2")
	if !strings.Contains(two.body, "HX-GQL-018") {
		t.Errorf("a key for two mutations: %s", two.body)
	}
	flow := w.ask(mutation, map[string]any{"in": map[string]any{"name": "w", "jobs": []any{
		map[string]any{"id": "e", "type": "export", "vmPath": "/DC/vm/web-01"},
		map[string]any{"id": "c", "type": "convert", "dependsOn": []string{"e"}, "input": "$e.output", "targetFormat": "raw", "retry": map[string]any{"maxAttempts": 2}},
	}}})
	if flow.at("submitJob", "vmPath") != "/DC/vm/web-01" || len(flow.Errors) > 0 {
		t.Errorf("a workflow: %s", flow.body)
	}
	all := w.ask(`mutation($in: [JobInput!]!) { submitJobs(input: $in) { jobs{id} errors{index error{code message}} replayed } }`,
		map[string]any{"in": []any{map[string]any{"vmPath": "/a", "provider": "xen"}, map[string]any{"vmPath": "/b"}}})
	if fmt.Sprint(all.at("submitJobs", "errors")) != `[map[error:map[code:HX-TEST-001 message:there is no provider "xen"] index:0]]` {
		t.Errorf("some refused: %s", all.body)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	cause := errors.New("dial tcp 10.1.2.3: secret")
	for _, c := range []struct {
		query, code, kind string
		vars              map[string]any
	}{
		{query: `{job(id:"x"){id}}`, code: "HX-JOB-041", kind: "not_found"},
		{query: `{receipt(id:"` + id + `")}`, code: "HX-JOB-020", kind: "conflict"},
		{query: `{nothing}`, code: "HX-GQL-001", kind: "invalid"},
		{query: `{jobs(limit:0){id}}`, code: "HX-GQL-015", kind: "invalid"},
		{query: `{jobs(limit:1001){id}}`, code: "HX-JOB-021", kind: "invalid"},
		{query: `{jobsConnection(after:"x"){totalCount}}`, code: "HX-JOB-025", kind: "invalid"},
		{query: `{jobs(status:GONE){id}}`, code: "HX-GQL-001", kind: "invalid"},
		{query: `{jobsConnection(filter:{since:"yesterday"}){totalCount}}`, code: "HX-GQL-014", kind: "invalid"},
		{query: `mutation($n: Int64){changeTenant(id:"default", input:{maxQueuedJobs:$n}){id}}`, vars: map[string]any{"n": 1e30}, code: "HX-GQL-014", kind: "invalid"},
		{query: `mutation{changeTenant(id:"default", input:{maxStorageGb:9000000000}){id}}`, code: "HX-GQL-007", kind: "invalid"},
		{query: `mutation{submitJob(input:{vmPath:"/a",labels:{x:1}}){id}}`, code: "HX-GQL-014", kind: "invalid"},
		{query: `mutation{submitJob(input:{vmPath:"/a",provider:"xen"}){id}}`, code: "HX-TEST-001", kind: "unprocessable"},
		{query: `mutation{submitJob(input:{vmPth:"/a"}){id}}`, code: "HX-GQL-001", kind: "invalid"},
		{query: `mutation{cancelJobs(ids:[]){jobId}}`, code: "HX-JOB-031", kind: "invalid"},
		{query: `subscription{jobUpdates(id:"` + id + `"){id}}`, code: "HX-GQL-006", kind: "invalid"},
		{query: `query A{status{version}} query B{status{version}}`, code: "HX-GQL-001", kind: "invalid"},
	} {
		got := w.ask(c.query, c.vars)
		if got.code() != c.code || got.kind() != c.kind || got.Errors[0].Message == "" {
			t.Errorf("%s: %d %s", c.query, got.status, got.body)
		}
	}
	for _, fail := range []func() error{
		func() error { return cause }, func() error { panic(cause) }, func() error { return fmt.Errorf("query: %w", cause) },
		func() error { return fault.Wrap(cause, fault.Unavailable, "HX-T-1", "vCenter does not answer", "wait") },
	} {
		w.inv.fail = fail
		got := w.ask(`{vms{name}}`, nil)
		if len(got.Errors) != 1 || strings.Contains(got.body, "secret") || got.kind() != "internal" && got.extension("code") != "HX-T-1" {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got.kind() == "unavailable" && got.Errors[0].Extensions["retryAfter"] != 2.0 {
			t.Errorf("no retryAfter: %s", got.body)
		}
	}
	if !strings.Contains(w.log.String(), "10.1.2.3") {
		t.Error("the cause is not in the log")
	}
}

// What is no request of GraphQL, or may come from a page of another origin.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const ok = `{"query":"{status{version}}"}`
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
	}{
		"nobody":             {ok, []string{"X-Api-Key", ""}, 401},
		"a wrong key":        {ok, []string{"X-Api-Key", "hvk_wrong"}, 401},
		"batch":              {"[" + ok + "," + ok + "]", nil, 400},
		"batch after blanks": {" \n[" + ok + "]", nil, 400},
		"a form":             {"query={status{version}}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"text":               {ok, []string{"Content-Type", "text/plain"}, 415},
		"multipart":          {ok, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		"no type":            {ok, []string{"Content-Type", ""}, 415},
		"another origin":     {ok, []string{"Origin", "https://evil.example"}, 403},
		"cross-site":         {ok, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"large":              {`{"query":"` + strings.Repeat(" ", 1<<20) + `"}`, nil, 413},
		"no JSON":            {`{"query":`, nil, 400},
		"two":                {ok + ok, nil, 400},
		"unknown keys":       {`{"query":"{status{version}}","sha":1}`, nil, 400},
		"repeated key":       {`{"query":"{status{version}}","query":"{nodes{id}}"}`, nil, 400},
		"key in other case":  {`{"QUERY":"{status{version}}"}`, nil, 400},
		"repeated variable":  {`{"query":"{status{version}}","variables":{"a":{"b":1,"b":2}}}`, nil, 400},
		"no query":           {`{}`, nil, 400},
		"fine":               {ok, nil, 200},
	} {
		if got := w.post(c.body, c.headers...); got.status != c.status || c.status != 200 && c.status != 403 && len(got.Errors) == 0 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		req, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+`/graphql?query=mutation{cancelJob(id:"x"){id}}`, nil)
		must(t, err)
		req.Header.Set("X-Api-Key", key)
		res, err := w.server.Client().Do(req)
		must(t, err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
}

func TestRootFieldsAreCharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limiter.refuse = "list_jobs"
	got := w.ask(`{status{version} a:jobs{id} b:jobs{id}}`, nil)
	taken := w.limiter.drain()
	slices.Sort(taken)
	if fmt.Sprint(taken) != "[get_status list_jobs list_jobs]" || len(got.Errors) == 0 || got.kind() != "exhausted" || got.Errors[0].Extensions["retryAfter"] != 7.0 {
		t.Errorf("%v: %s", taken, got.body)
	}
	if h := got.header.Get("Ratelimit"); h != `"list_jobs";r=0;t=7` {
		t.Errorf("RateLimit: %q", h)
	}
	if got := w.ask(`{__schema{queryType{name}} __typename}`, nil); len(w.limiter.drain()) != 0 || len(got.Errors) > 0 {
		t.Errorf("introspection: %s", got.body)
	}
}

// The event says by which door.
func TestOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	if got := w.ask(`mutation($id: ID!){cancelJob(id:$id, reason:"r"){status cancelReason}}`, map[string]any{"id": id}, "X-Request-ID", "r1"); got.at("cancelJob", "status") != "CANCELLED" {
		t.Fatal(got.body)
	}
	updates, err := w.svc.Events(t.Context(), root(), id, 0)
	must(t, err)
	for u, err := range updates {
		must(t, err)
		if u.Event.Kind == "job.cancelled" && (u.Event.Data.Origin == nil || *u.Event.Data.Origin != tenant.Origin{IP: "127.0.0.1", Door: "graphql", RequestID: "r1"}) {
			t.Errorf("%+v", u.Event.Data.Origin)
		}
	}
}

// Relay's pages come in order, each job once.
func TestConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for range 5 {
		want = append([]string{w.submit()}, want...)
	}
	var got []string
	after := any(nil)
	for range 3 {
		page := w.ask(`query($after: String){jobsConnection(first:2, after:$after, filter:{status:[PENDING], vm:"web-*"}){
			totalCount pageInfo{hasNextPage endCursor} edges{cursor node{id}} nodes{id}}}`, map[string]any{"after": after})
		edges, _ := page.at("jobsConnection", "edges").([]any)
		for _, e := range edges {
			got = append(got, e.(map[string]any)["node"].(map[string]any)["id"].(string))
		}
		if page.at("jobsConnection", "totalCount") != 5.0 || page.at("jobsConnection", "pageInfo", "hasNextPage") != (len(got) < 5) {
			t.Fatal(page.body)
		}
		after = page.at("jobsConnection", "pageInfo", "endCursor")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
