package abuse_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"sync"
)

const mib = 1 << 20

// post is a case that posts a body to a path.
func post(name, path, body, want string, headers ...string) abuse {
	return abuse{name: name, want: want, try: func(_ *world, c caller) string { return c.rest("POST", path, body, headers...) }}
}

// zipped is a text and n MiB more.
func zipped(text string, n int) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	more := bytes.Repeat([]byte(" "), mib)
	for range n {
		_, _ = z.Write(more)
	}
	_ = z.Close()
	return b.String()
}

// manyKeys is an object of n keys within one.
func manyKeys(n int) string {
	var b strings.Builder
	b.WriteString(`{"labels":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%d":1`, i)
	}
	b.WriteString(`}}`)
	return b.String()
}

func bodies() []abuse {
	const submit, query = "/jobs/submit", "/jobs/query"
	deep := strings.Repeat("[", 100_000)
	return []abuse{
		post("body: 4 MiB to submit", submit, `{"vm_path":"`+strings.Repeat("x", 4*mib)+`"}`, "413 HX-API-003"),
		post("body: 4 MiB to query", query, `{"vm":"`+strings.Repeat("x", 4*mib)+`"}`, "413 HX-API-003"),
		post("body: 4 MiB to GraphQL", "/graphql", `{"query":"{`+strings.Repeat(" ", 4*mib)+`status{version}}"}`, "413 HX-API-003"),
		post("body: 4 MiB of YAML", submit, "vm_path: "+strings.Repeat("x", 4*mib), "413 HX-API-003", "Content-Type", "application/yaml"),
		post("body: 64 MiB in 64 KiB of gzip to submit", submit, zipped(`{"vm_path":"/x"}`, 64), "400 HX-JOB-002", "Content-Encoding", "gzip"),
		post("body: gzip to query", query, zipped(`{"limit":1}`, 0), "400 HX-API-005", "Content-Encoding", "gzip"),
		post("body: gzip to GraphQL", "/graphql", zipped(`{"query":"{status{version}}"}`, 0), "400 HX-GQL-005", "Content-Encoding", "gzip"),
		post("body: 1e6 keys", query, manyKeys(1_000_000), "413 HX-API-003"),
		post("body: 1e5 keys in 1 MiB", query, manyKeys(90_000), "400 HX-API-006"),
		post("body: depth 1e5 to query", query, deep, "400 HX-API-008"),
		post("body: depth 1e5 to submit", submit, deep, "400 HX-JOB-002"),
		post("body: depth 1e5 of objects", submit, strings.Repeat(`{"a":`, 100_000), "400 HX-JOB-002"),
		post("body: depth 1e5 in GraphQL's variables", "/graphql", `{"query":"{status{version}}","variables":{"a":`+deep+`}}`, "400 HX-GQL-005"),
		post("body: depth 1e5 of YAML", submit, strings.Repeat("[", 100_000), "400 HX-JOB-002", "Content-Type", "application/yaml"),
		post("body: YAML bomb", submit, "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\njobs: [*b,*b,*b,*b]\n", "400 HX-JOB-002", "Content-Type", "application/yaml"),
		post("body: a number of 1e5 digits", query, `{"limit":`+strings.Repeat("9", 100_000)+`}`, "400 HX-API-006"),
		post("body: 1e400", query, `{"limit":1e400}`, "400 HX-API-006"),
		post("body: 2^63", submit, `{"vm_path":"/x","max_attempts":9223372036854775808}`, "400 HX-JOB-004"),
		post("body: a repeated key to query", query, `{"limit":1,"limit":2}`, "400 HX-API-009"),
		post("body: a repeated key to submit", submit, `{"vm_path":"/x","vm_path":"/y"}`, "400 HX-JOB-002"),
		post("body: tenant", submit, `{"vm_path":"/x","tenant":"them"}`, "400 HX-JOB-004"),
		post("body: TENANT", query, `{"TENANT":"them"}`, "400 HX-API-006"),
		post("body: VM_PATH beside vm_path", submit, `{"vm_path":"/x","VM_PATH":"/y"}`, "400 HX-JOB-004"),
		post("body: two documents", query, `{"limit":1}{"limit":2}`, "400 HX-API-006"),
		post("body: NUL in a text", submit, `{"vm_path":"/x\u0000y"}`, "422 HX-JOB-005"),
		post("body: no UTF-8 to submit", submit, "{\"vm_path\":\"\xff\xfe\"}", "400 HX-JOB-002"),
		post("body: XML", query, `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`, "415 HX-API-007", "Content-Type", "application/xml"),
	}
}

// stall writes a beginning over many connections to the hasty server and waits for
// their ends: "closed" if all are, by the server.
func stall(begin string) func(w *world, c caller) string {
	return func(w *world, c caller) string {
		const conns = 20
		ends := make([]string, conns)
		var wg sync.WaitGroup
		for i := range conns {
			wg.Go(func() { ends[i] = c.raw(w.hasty, begin) })
		}
		served := c.rest("GET", "/jobs", "")
		wg.Wait()
		for _, end := range ends {
			if end != ends[0] {
				return strings.Join(ends, ", ")
			}
		}
		return ends[0] + ", others " + served
	}
}

func slowness() []abuse {
	slow := func(name, begin, want string) abuse {
		return abuse{name: "slow: " + name, try: stall(begin), want: want + ", others 200", waits: true}
	}
	return []abuse{
		slow("nothing at all", "", "closed"),
		slow("headers", "GET /jobs HTTP/1.1\r\nHost: x\r\nX-A", "400"),
		slow("a preface of HTTP/2 without an end", "PRI * HTTP/2.0\r\n\r\nS", "400"),
		slow("body of a stranger", "POST /jobs/submit HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "401 HX-AUTH-010"),
		slow("body that nobody reads", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "404 HX-API-001"),
		{name: "slow: body to submit", want: "408 HX-API-004", waits: true, try: func(w *world, c caller) string {
			return c.raw(w.addr, "POST /jobs/submit HTTP/1.1\r\nHost: x\r\nX-API-Key: "+c.key+"\r\nContent-Length: 100\r\n\r\n{")
		}},
		{name: "slow: body to GraphQL", want: "408 HX-API-004", waits: true, try: func(w *world, c caller) string {
			return c.raw(w.addr, "POST /graphql HTTP/1.1\r\nHost: x\r\nX-API-Key: "+c.key+"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		}},
	}
}
