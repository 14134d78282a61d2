package abuse_test

import (
	"fmt"
	"net/http"
	"strings"
)

// call is a case of one call by REST.
func call(name, method, path, body, want string, headers ...string) abuse {
	return abuse{name: name, want: want, try: func(_ *world, c caller) string { return c.rest(method, path, body, headers...) }}
}

// wire is a case of one request as it is on the wire; KEY stands for the key.
func wire(name, request, want string) abuse {
	return abuse{name: name, want: want, try: func(w *world, c caller) string {
		return c.raw(w.addr, strings.ReplaceAll(request, "KEY", c.key))
	}}
}

func headers() []abuse {
	const spec = `{"vm_path":"/DC/vm/web-01"}`
	ours := func(name string, headers ...string) abuse {
		return abuse{name: "header: " + name, want: "404 HX-JOB-041", try: func(w *world, c caller) string {
			return c.rest("GET", "/jobs/"+w.them.job, "", headers...)
		}}
	}
	return []abuse{
		ours("X-Tenant", "X-Tenant", "them"),
		ours("X-Tenant-ID and X-Hypervisord-Tenant", "X-Tenant-Id", "them", "X-Hypervisord-Tenant", "them"),
		ours("X-Forwarded-User", "X-Forwarded-User", "root", "X-Remote-User", "root"),
		ours("Host of another", "Host", "them.example"),
		ours("X-Original-URL", "X-Original-Url", "/livez", "X-Rewrite-Url", "/livez"),
		{name: "header: X-HTTP-Method-Override", want: "200, then 200", try: func(w *world, c caller) string {
			first := c.rest("GET", "/schedules/"+w.us.schedule, "", "X-Http-Method-Override", "DELETE", "X-Http-Method", "DELETE")
			return first + ", then " + c.rest("GET", "/schedules/"+w.us.schedule, "")
		}},
		wire("header: 64 KiB", "GET /jobs HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 64<<10)+"\r\n\r\n", "431"),
		wire("header: a length and chunks", "POST /jobs/query HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /jobs HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
		wire("header: two lengths", "POST /jobs/query HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\n{}", "400"),
		wire("header: two hosts", "GET /jobs HTTP/1.1\r\nHost: x\r\nHost: y\r\nX-API-Key: KEY\r\n\r\n", "400"),
		wire("header: no host", "GET /jobs HTTP/1.1\r\nX-API-Key: KEY\r\n\r\n", "400"),
		wire("header: NUL", "GET /jobs HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x00b\r\nX-API-Key: KEY\r\n\r\n", "400"),
		wire("header: a folded line", "GET /jobs HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\r\n\t{\"level\":\"ERROR\"}\r\nX-API-Key: KEY\r\n\r\n", "200"),
		{name: "log: request ids that forge lines", want: "200, none kept", try: forgedIDs},
		wire("log: a user agent, a host and a path that forge lines", "GET /jobs/%0A%7B%22level%22:%22ERROR%22%7D%1b%5B31m%E2%80%AE"+canary+" HTTP/1.1\r\nHost: "+canary+"\r\n"+
			"User-Agent: \u202e{\"level\":\"ERROR\"}"+canary+"\r\nReferer: https://"+canary+"\r\nX-API-Key: KEY\r\nConnection: close\r\n\r\n", "404 HX-JOB-041"),
		call("log: a query that forges lines", "GET", "/jobs?x=%0A%7B%22level%22:%22ERROR%22%7D"+canary, "", "400 HX-API-006"),
		wire("log: a request id that a terminal obeys", "GET /jobs HTTP/1.1\r\nHost: x\r\nX-Request-ID: \x1b[31m\r\nX-API-Key: KEY\r\n\r\n", "400"),
		wire("log: a user agent that a terminal obeys", "GET /jobs HTTP/1.1\r\nHost: x\r\nUser-Agent: \x1b[2J\r\nX-API-Key: KEY\r\n\r\n", "400"),
		{name: "log: a job's name that forges lines", want: "422 HX-JOB-005", try: func(_ *world, c caller) string {
			return c.rest("POST", "/jobs/submit", `{"vm_path":"/x","name":"a\n{\"level\":\"ERROR\"}\u001b[31m\u202e"}`)
		}},
		{name: "log: a traceparent that forges lines", want: "200", try: func(_ *world, c caller) string {
			return c.rest("GET", "/jobs", "", "Traceparent", "00-"+canary+"\t\u202e", "Tracestate", canary)
		}},
		call("cross-site: fetch metadata", "POST", "/jobs/submit", spec, "403 HX-API-012", "Sec-Fetch-Site", "cross-site"),
		call("cross-site: same site is not same origin", "POST", "/jobs/submit", spec, "403 HX-API-012", "Sec-Fetch-Site", "same-site"),
		call("cross-site: Origin", "POST", "/jobs/submit", spec, "403 HX-API-012", "Origin", "https://evil.example"),
		call("cross-site: Origin null, as a form", "POST", "/jobs/submit", spec, "403 HX-API-012", "Origin", "null", "Content-Type", "text/plain"),
		call("cross-site: DELETE", "DELETE", "/schedules/x", "", "403 HX-API-012", "Origin", "https://evil.example"),
		call("cross-site: GraphQL", "POST", "/graphql", `{"query":"{status{version}}"}`, "403 HX-API-012", "Sec-Fetch-Site", "cross-site"),
		call("cross-site: gRPC-Web", "POST", procedures+"GetStatus", "{}", "403 HX-API-012", "Origin", "https://evil.example"),
		call("cross-site: a WebSocket", "GET", "/ws", "", "403 HX-STREAM-002", "Origin", "https://evil.example", "Upgrade", "websocket", "Connection", "Upgrade"),
		call("cross-site: a WebSocket for GraphQL", "GET", "/graphql", "", "403 HX-STREAM-002", "Origin", "https://evil.example", "Upgrade", "websocket", "Connection", "Upgrade"),
		{name: "cross-site: a preflight allows nothing", want: "405 HX-API-002, allowed \"\"", try: func(_ *world, c caller) string {
			got := c.do("OPTIONS", "/jobs/submit", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
			return fmt.Sprintf("%s, allowed %q", got.word(), got.header.Get("Access-Control-Allow-Origin"))
		}},
	}
}

func forgedIDs(_ *world, c caller) string {
	for _, id := range []string{"a\u202eb", `a","level":"ERROR`, "a\tb", strings.Repeat("a", 65), "a b", "\u2028", "é"} {
		got := c.do("GET", "/jobs", "", "X-Request-Id", id)
		if got.status != http.StatusOK || got.header.Get("X-Request-ID") == id || len(got.header.Get("X-Request-ID")) > 64 {
			return fmt.Sprintf("%d, %q kept", got.status, id)
		}
	}
	return "200, none kept"
}

// paths are requests whose line is odd.
func paths() []abuse {
	get := func(name, target, want string) abuse {
		return wire("path: "+name, "GET "+target+" HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nConnection: close\r\n\r\n", want)
	}
	method := func(m, target, want string) abuse {
		return wire("method: "+m+" "+target, m+" "+target+" HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", want)
	}
	return []abuse{
		get("//", "//jobs", "307"),
		get("/../", "/jobs/../../../etc/passwd", "307"),
		get("%2e%2e", "/jobs/%2e%2e/%2e%2e/etc/passwd", "404 HX-API-001"),
		get("..%2f", "/jobs/..%2f..%2fetc%2fpasswd", "404 HX-JOB-041"),
		get("NUL", "/jobs/a%00b", "404 HX-JOB-041"),
		get("no UTF-8", "/jobs/%ff%fe", "404 HX-JOB-041"),
		get("half an escape", "/jobs/%2", "400"),
		get("a profile above its directory", "/profiles/..%2f..%2fetc%2fpasswd", "404 HX-PROFILE-034"),
		get("64 KiB", "/"+strings.Repeat("a", 64<<10), "431"),
		get("of another host", "http://169.254.169.254/latest", "404 HX-API-001"),
		get("in other case", "/JOBS", "404 HX-API-001"),
		get("debug", "/debug/pprof/heap", "404 HX-API-001"),
		method("TRACE", "/jobs", "405 HX-API-002"),
		method("CONNECT", "/jobs", "405 HX-API-002"),
		method("BREW", "/jobs", "405 HX-API-002"),
		method("PUT", "/jobs", "405 HX-API-002"),
		method("get", "/jobs", "405 HX-API-002"),
		wire("method: none", "\x00\x01\x02 / HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
		wire("method: CONNECT a host", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n", "404 HX-API-001"),
		wire("protocol: HTTP/1.0 with an upgrade", "GET /ws HTTP/1.0\r\nHost: x\r\nX-API-Key: KEY\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "426"),
		wire("protocol: HTTP/9", "GET /jobs HTTP/9.9\r\nHost: x\r\n\r\n", "505"),
		wire("protocol: TLS where there is none", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
	}
}
