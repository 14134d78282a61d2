package abuse_test

import (
	"fmt"
	"strings"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
)

// credentials are wrong ones, and guessing.
func credentials() []abuse {
	bad := func(name, want string, path string, headers ...string) abuse {
		return abuse{name: "credential: " + name, want: want, try: func(_ *world, c caller) string {
			for i, h := range headers {
				headers[i] = strings.ReplaceAll(h, "KEY", c.key)
			}
			return c.as("").rest("GET", strings.ReplaceAll(path, "KEY", c.key), "", headers...)
		}}
	}
	return []abuse{
		bad("none", "401 HX-AUTH-010", "/jobs"),
		bad("in the query", "401 HX-AUTH-010", "/jobs?api_key=KEY&access_token=KEY&key=KEY"),
		bad("in a cookie", "401 HX-AUTH-010", "/jobs", "Cookie", "api_key=KEY"),
		bad("by Basic", "401 HX-AUTH-010", "/jobs", "Authorization", "Basic KEY"),
		bad("by an unknown scheme", "401 HX-AUTH-010", "/jobs", "Authorization", "Token KEY"),
		bad("without a scheme", "401 HX-AUTH-010", "/jobs", "Authorization", "KEY"),
		bad("with a tail", "401 HX-AUTH-011", "/jobs", "Authorization", "Bearer KEYx"),
		bad("of 16 KiB", "401 HX-AUTH-011", "/jobs", "X-Api-Key", strings.Repeat("k", 16<<10)),
		bad("of SQL", "401 HX-AUTH-011", "/jobs", "X-Api-Key", "' OR 1=1 --"),
		bad("to the socket", "401 HX-AUTH-010", "/ws?api_key=KEY"),
		{name: "credential: none to GraphQL, which asks for the schema", want: "401 HX-AUTH-010", try: func(_ *world, c caller) string {
			return c.as("").graph("{__schema{types{name}}}", nil)
		}},
		{name: "credential: none to gRPC", want: "Unauthenticated HX-AUTH-011", try: func(_ *world, c caller) string {
			return c.as("wrong").rpc("GetStatus", &pb.GetStatusRequest{}, &pb.Status{})
		}},
		{name: "credential: none, and a body of 4 MiB that nobody reads", want: "401 HX-AUTH-010", try: func(w *world, c caller) string {
			return c.raw(w.addr, fmt.Sprintf("POST /jobs/submit HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", 4*mib))
		}},
		{name: "credential: a viewer wants to write", want: "403 HX-AUTH-002", try: func(w *world, c caller) string {
			return c.as(w.viewer).rest("POST", "/jobs/submit", `{"vm_path":"/x"}`)
		}},
		{name: "credential: an administrator of a tenant wants all tenants", want: "403 HX-AUTH-002", try: func(_ *world, c caller) string {
			return c.rest("POST", "/tenants", `{"id":"mine"}`)
		}},
		{name: "credential: an administrator of a tenant wants a key for the platform", want: "403 HX-AUTH-003", try: func(_ *world, c caller) string {
			return c.rest("POST", "/keys", `{"name":"up","role":"platform"}`)
		}},
		{name: "guessing: 31 keys from one address", want: "30 x 401 HX-AUTH-011, 429 HX-GATE-002, the right key 429 HX-GATE-002, elsewhere 200", try: func(w *world, c caller) string {
			return guess(c, func(int) []string { return nil }) + ", the right key " + c.rest("GET", "/jobs", "") + ", elsewhere " + w.us.rest("GET", "/jobs", "")
		}},
		{name: "guessing: X-Forwarded-For of who is no proxy", want: "30 x 401 HX-AUTH-011, 429 HX-GATE-002", try: func(_ *world, c caller) string {
			return guess(c, func(i int) []string { return []string{"X-Forwarded-For", fmt.Sprintf("10.0.0.%d", i)} })
		}},
		{name: "guessing: X-Real-IP, Forwarded, True-Client-IP", want: "30 x 401 HX-AUTH-011, 429 HX-GATE-002", try: func(_ *world, c caller) string {
			return guess(c, func(i int) []string {
				ip := fmt.Sprintf("10.0.1.%d", i)
				return []string{"X-Real-Ip", ip, "Forwarded", "for=" + ip, "True-Client-Ip", ip, "Cf-Connecting-Ip", ip}
			})
		}},
		{name: "guessing: what a client claims before the proxy adds it", want: "30 x 401 HX-AUTH-011, 429 HX-GATE-002", try: func(_ *world, c caller) string {
			return guess(c.from(c.t, proxyIP), func(i int) []string { return []string{"X-Forwarded-For", fmt.Sprintf("10.0.2.%d, 192.0.2.1", i)} })
		}},
		{name: "guessing: addresses of one /64 behind the proxy", want: "30 x 401 HX-AUTH-011, 429 HX-GATE-002", try: func(_ *world, c caller) string {
			return guess(c.from(c.t, proxyIP), func(i int) []string { return []string{"X-Forwarded-For", fmt.Sprintf("2001:db8:0:1::%x", i)} })
		}},
		{name: "guessing: spellings of one address behind the proxy", want: "30 x 401 HX-AUTH-011, 429 HX-GATE-002", try: func(_ *world, c caller) string {
			return guess(c.from(c.t, proxyIP), func(i int) []string {
				return []string{"X-Forwarded-For", []string{"192.0.2.2", "::ffff:192.0.2.2", fmt.Sprintf("192.0.2.2:%d", 1000+i), "[::ffff:c000:202]"}[i%4]}
			})
		}},
		{name: "guessing: by all doors in turn", want: "30 x refused, 429 HX-GATE-002", try: guessByAllDoors},
	}
}

// guess tries wrong keys until one is answered otherwise.
func guess(c caller, headers func(i int) []string) string {
	first, n := "", 0
	for i := range 100 {
		got := c.as(fmt.Sprintf("hvk_GUESS%d", i)).rest("GET", "/jobs", "", headers(i)...)
		if i == 0 {
			first = got
		}
		if got != first {
			return fmt.Sprintf("%d x %s, %s", n, first, got)
		}
		n++
	}
	return fmt.Sprintf("%d x %s", n, first)
}

func guessByAllDoors(_ *world, c caller) string {
	wrong := c.as("hvk_GUESS")
	for i := range 30 {
		var got string
		switch i % 3 {
		case 0:
			got = wrong.rest("GET", "/jobs", "")
		case 1:
			got = wrong.graph("{status{version}}", nil)
		default:
			got = wrong.rest("POST", procedures+"GetStatus", "{}")
		}
		if !strings.HasPrefix(got, "401") {
			return fmt.Sprintf("%d x refused, %s", i, got)
		}
	}
	return "30 x refused, " + wrong.rest("GET", "/jobs", "")
}
