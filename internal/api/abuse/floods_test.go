package abuse_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func floods() []abuse {
	page := func(name, path, want string) abuse { return call("page: "+name, "GET", path, "", want) }
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"after":"x","tenant":"them"}`))
	return []abuse{
		page("limit 0", "/jobs?limit=0", "400 HX-API-006"),
		page("limit -1", "/jobs?limit=-1", "400 HX-API-006"),
		page("limit 1e9", "/jobs?limit=1000000000", "400 HX-API-006"),
		page("limit 2^64", "/jobs?limit=18446744073709551616", "400 HX-API-006"),
		page("limit twice", "/jobs?limit=1&limit=1000000", "200"),
		page("a forged cursor", "/jobs?cursor="+forged, "400 HX-JOB-025"),
		page("a cursor of SQL", "/jobs?cursor=%27%20OR%201%3D1%20--", "400 HX-JOB-025"),
		page("a cursor of 16 KiB", "/jobs?cursor="+strings.Repeat("A", 16<<10), "400 HX-JOB-025"),
		page("a forged cursor of schedules", "/schedules?cursor=%21", "400 HX-SCHED-003"),
		page("a forged cursor of webhooks", "/webhooks?cursor=%21", "400 HX-HOOK-027"),
		page("a negative place in the log", "/events?after=-1&once=true", "400 HX-EVENT-003"),
		page("a place after the end of the log", "/events?after=9223372036854775807&once=true", "409 HX-EVENT-002"),
		page("a last event id that is none", "/events?once=true&after=0x7f", "400 HX-EVENT-004"),
		post("page: 1,001 ids", "/jobs/cancel", `{"job_ids":["x"`+strings.Repeat(`,"x"`, 1000)+`]}`, "400 HX-API-006"),
		post("submit: 10,000 jobs", "/jobs/submit", `{"jobs":[{"vm_path":"/x"}`+strings.Repeat(`,{"vm_path":"/x"}`, 9999)+`]}`, "422 HX-JOB-014"),
		post("idempotency: a key of 256", "/jobs/submit", `{"vm_path":"/x"}`, "400 HX-JOB-015", "Idempotency-Key", strings.Repeat("k", 256)),
		post("idempotency: a key that forges lines", "/jobs/submit", `{"vm_path":"/x"}`, "400 HX-JOB-015", "Idempotency-Key", "a\tb"),
		{name: "idempotency: another body", want: "202, then 422 HX-JOB-012", try: func(_ *world, c caller) string {
			first := c.rest("POST", "/jobs/submit", `{"vm_path":"/x"}`, "Idempotency-Key", "twice")
			return first + ", then " + c.rest("POST", "/jobs/submit", `{"vm_path":"/y"}`, "Idempotency-Key", "twice")
		}},
		{name: "idempotency: the key of another tenant", want: "202 and 202, of their own", try: func(w *world, c caller) string {
			ours := c.do("POST", "/jobs/submit", `{"vm_path":"/x"}`, "Idempotency-Key", "shared")
			theirs := w.them.do("POST", "/jobs/submit", `{"vm_path":"/y"}`, "Idempotency-Key", "shared")
			if ours.body == theirs.body {
				return "the same job: " + ours.body
			}
			return fmt.Sprintf("%d and %d, of their own", ours.status, theirs.status)
		}},
		{name: "limit: one operation by three doors", want: fmt.Sprintf("%d calls, then 429 HX-GATE-001, 200 HX-GATE-001, ResourceExhausted HX-GATE-001", burst), try: overLimit},
		{name: "limit: fields of one GraphQL call", want: "200 HX-GATE-001", try: func(w *world, c caller) string {
			c = w.member("us", "127.3.0.2", tenant.Viewer).from(c.t, "127.3.0.2")
			got := ""
			for range burst/20 + 1 {
				got = c.graph("{"+strings.Repeat("nodes{id} ", 1)+manyAliases(20)+"}", nil)
			}
			return got
		}},
		{name: "streams: one more than a caller may have, by three doors", want: fmt.Sprintf("%d open, then 429 HX-STREAM-001, HX-STREAM-001, ResourceExhausted HX-STREAM-001; afterwards 200", stream.PerPrincipal), try: tooManyStreams},
		{name: "limit: calls without a key", want: fmt.Sprintf("%d calls, then 429 HX-GATE-005 by three paths; with the key 200, elsewhere 200", strangerBurst), try: func(w *world, c caller) string {
			n, paths := 0, []string{"/livez", "/nowhere", "/openapi.json", "/schemas/config.json"}
			for c.as("").rest("GET", paths[n%4], "", "X-Forwarded-For", fmt.Sprintf("10.%d.0.1", n%250)) != "429 HX-GATE-005" {
				n++
			}
			got := c.rest("GET", "/metrics", "")
			if more := c.rest("GET", "/nowhere", ""); more != got || more != c.rest("GET", "/startupz", "") {
				return more
			}
			return fmt.Sprintf("%d calls, then %s by three paths; with the key %s, elsewhere %s", n, got, c.rest("GET", "/jobs", ""), w.us.rest("GET", "/livez", ""))
		}},
		{name: "labels: 1,000 paths, methods and hosts", want: "no new series", try: labels},
	}
}

func manyAliases(n int) string {
	var b strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&b, "a%d:nodes{id} ", i)
	}
	return b.String()
}

// overLimit calls an operation until its turns are used up.
func overLimit(w *world, c caller) string {
	c = w.member("us", "127.3.0.1", tenant.Viewer).from(c.t, "127.3.0.1")
	n := 0
	for ; n < 2*burst; n++ {
		var got, want string
		switch n % 3 {
		case 0:
			got, want = c.rest("GET", "/nodes", ""), "200"
		case 1:
			got, want = c.graph("{nodes{id}}", nil), "200"
		default:
			got, want = c.rpc("ListNodes", &pb.ListNodesRequest{}, &pb.ListNodesResponse{}), "OK"
		}
		if got != want {
			break
		}
	}
	return fmt.Sprintf("%d calls, then %s, %s, %s", n, c.rest("GET", "/nodes", ""), c.graph("{nodes{id}}", nil), c.rpc("ListNodes", &pb.ListNodesRequest{}, &pb.ListNodesResponse{}))
}

// tooManyStreams opens streams until there are no more.
func tooManyStreams(w *world, c caller) string {
	c = w.member("us", "127.3.0.3", tenant.Viewer).from(c.t, "127.3.0.3")
	ctx, leave := context.WithCancel(c.t.Context())
	defer leave()
	open := 0
	for range 2 * stream.PerPrincipal {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+"/events", nil)
		must(c.t, err)
		req.Header.Set("X-Api-Key", c.key)
		res, err := c.client.Do(req)
		must(c.t, err)
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			break
		}
		open++
	}
	rest := c.rest("GET", "/events", "")
	graph := c.do("POST", "/graphql", `{"query":"subscription{jobUpdates(id:\"`+w.us.job+`\"){id}}"}`, "Accept", "text/event-stream").body
	_, graph, _ = strings.Cut(graph, `"code":"`)
	graph, _, _ = strings.Cut(graph, `"`)
	rpc := c.rpc("StreamEvents", &pb.StreamEventsRequest{}, &pb.LogUpdate{})
	leave()
	after := ""
	eventually(c.t, "the streams are gone", func() bool {
		after = c.rest("GET", "/events?after=0&once=true", "")
		return after == "200"
	})
	return fmt.Sprintf("%d open, then %s, %s, %s; afterwards %s", open, rest, graph, rpc, after)
}

// labels counts the series before and after.
func labels(_ *world, c caller) string {
	count := func() int { return strings.Count(c.do("GET", "/metrics", "").body, "\nhypervisord_http") }
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			method := []string{"GET", "POST", fmt.Sprintf("M%d", i)}[i%3]
			path := []string{"/x%d", "/jobs/%d", "/graphql/%d", "/hypervisord.v1.HypervisordService/M%d"}[i%4]
			c.do(method, fmt.Sprintf(path, i), "", "Host", fmt.Sprintf("h%d", i), "User-Agent", fmt.Sprint(i))
		}
	}
	flood(0, 50)
	count()
	before := count()
	flood(50, 1000)
	if after := count(); after != before || before == 0 {
		return fmt.Sprintf("%d series became %d", before, after)
	}
	return "no new series"
}
