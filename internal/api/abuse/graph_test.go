package abuse_test

import (
	"fmt"
	"strings"
)

func graphs() []abuse {
	q := func(name, query, want string) abuse {
		return abuse{name: "GraphQL: " + name, want: want, try: func(_ *world, c caller) string { return c.graph(query, nil) }}
	}
	many := func(n int, form string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	const bomb = "422 HX-GQL-008"
	one := `{"query":"{status{version}}"}`
	return []abuse{
		q("depth", "{jobs{"+strings.Repeat("steps{", 50)+"id"+strings.Repeat("}", 52), bomb),
		q("depth of the schema", "{__schema{types{"+strings.Repeat("fields{type{", 20)+"name"+strings.Repeat("}}", 20)+"}}}", bomb),
		q("1,000 aliases", "{"+many(1000, "a%d:__typename ")+"}", "400 HX-GQL-001"),
		q("100 aliases", "{"+many(100, "a%d:__typename ")+"}", bomb),
		q("aliases of a costly field", "{"+many(21, "a%d:jobs{id} ")+"}", bomb),
		q("fragments in a circle", "{jobs{...a}} fragment a on Job{id ...b} fragment b on Job{id ...a}", bomb),
		q("fragments that double", "{jobs{...f0}} "+many(20, "fragment f%[1]d on Job{...f%[1]d_ ...f%[1]d_} ")+many(20, "fragment f%d_ on Job{id} "), "400 HX-GQL-001"),
		q("fragments that double 2^9", "{jobs{...f0}} "+doubling(10), bomb),
		q("100,000 directives", "{status{version "+strings.Repeat("@a ", 100_000)+"}}", bomb),
		q("20,000 directives", "{status{version "+strings.Repeat("@a ", 20_000)+"}}", "400 HX-GQL-001"),
		q("braces without an end", strings.Repeat("{a", 20_000), "400 HX-GQL-001"),
		q("a list of 1e9", "{jobs(limit: 1000000000){id}}", bomb),
		q("a negative list", "{jobs(limit: -1){id}}", "200 HX-GQL-015"),
		q("two operations, none named", "query a{status{version}} query b{status{version}}", "400 HX-GQL-001"),
		q("a subscription by POST", "subscription{jobUpdates(id:\"x\"){id}}", "400 HX-GQL-006"),
		q("an unknown field, which suggests none", "{jobz{id}}", "400 HX-GQL-001"),
		q("a tenant of another", `{usage(tenant:"them"){tenant}}`, "200 HX-TENANT-001"),
		post("GraphQL: a batch of 1,000", "/graphql", "["+strings.Repeat(one+",", 999)+one+"]", "400 HX-GQL-004"),
		post("GraphQL: a form, which pages of others can send", "/graphql", "query={status{version}}", "415 HX-GQL-003", "Content-Type", "application/x-www-form-urlencoded"),
		post("GraphQL: a file", "/graphql", "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{}\r\n--b--", "415 HX-GQL-003", "Content-Type", "multipart/form-data; boundary=b"),
		post("GraphQL: a hash in place of a query", "/graphql", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, "400 HX-GQL-001"),
		post("GraphQL: an unknown key", "/graphql", `{"query":"{status{version}}","tenant":"them"}`, "400 HX-GQL-005"),
		post("GraphQL: a repeated key", "/graphql", `{"query":"{status{version}}","query":"{nodes{id}}"}`, "400 HX-GQL-005"),
		post("GraphQL: QUERY", "/graphql", `{"QUERY":"{status{version}}"}`, "400 HX-GQL-005"),
		call("GraphQL: a mutation by GET", "GET", "/graphql?query=mutation%7BcancelJob(id:%22x%22)%7Bid%7D%7D", "", "405 HX-GQL-002"),
		call("GraphQL: a query by GET", "GET", "/graphql?query=%7Bstatus%7Bversion%7D%7D", "", "405 HX-GQL-002"),
		{name: "GraphQL: 900 KiB of variables that nobody declared", want: "200", try: func(_ *world, c caller) string {
			return c.graph("{status{version}}", map[string]any{"a": strings.Repeat("x", 900<<10)})
		}},
		{name: "GraphQL: a limit of 2^63 in a variable", want: "400 HX-GQL-001", try: func(_ *world, c caller) string {
			return c.rest("POST", "/graphql", `{"query":"query($n:Int){jobs(limit:$n){id}}","variables":{"n":9223372036854775808}}`)
		}},
	}
}

// doubling are n fragments, of which each holds the next one twice.
func doubling(n int) string {
	var b strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&b, "fragment f%d on Job{...f%d ...f%d} ", i, i+1, i+1)
	}
	fmt.Fprintf(&b, "fragment f%d on Job{id name}", n-1)
	return b.String()
}
