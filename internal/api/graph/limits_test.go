package graph_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// Queries that are small to send and large to answer are refused, before they are
// validated, and cost next to nothing.
func TestBombs(t *testing.T) { // alone: it measures what the process allocates
	w := newWorld(t)
	w.submit()
	fragments := func(n int, body func(i int) string) string {
		var b strings.Builder
		b.WriteString("{jobs{...f0}}")
		for i := range n {
			fmt.Fprintf(&b, " fragment f%d on Job {%s}", i, body(i))
		}
		return b.String()
	}
	bombs := map[string]string{
		"depth":                    "{" + strings.Repeat("a{", 11) + "a" + strings.Repeat("}", 12),
		"depth in introspection":   "{__schema{types{fields{type" + strings.Repeat("{ofType", 20) + "{name}" + strings.Repeat("}", 24),
		"aliases":                  "{" + repeat(21, "a%d:status{version} ") + "}",
		"root fields":              "{" + strings.Repeat("status{version} ", 21) + "}",
		"aliases below":            "{jobs{" + repeat(21, "a%d:id ") + "}}",
		"fields":                   "{jobs{" + strings.Repeat("id ", 1001) + "}}",
		"directives":               "{jobs{id " + strings.Repeat("@a", 50_000) + "}}",
		"tokens":                   "{jobs{" + strings.Repeat("x ", 30_000) + "}}",
		"fragments doubling":       fragments(40, func(i int) string { return fmt.Sprintf("...f%d ...f%d", i+1, i+1) }),
		"fragments in a circle":    fragments(3, func(i int) string { return fmt.Sprintf("id ...f%d", (i+1)%3) }),
		"fragments in a row":       fragments(60, func(i int) string { return fmt.Sprintf("id ...f%d", i+1) }),
		"complexity":               "{jobs(limit:1000){" + short + repeat(19, "a%d:id ") + "}}",
		"complexity by a variable": "query($n:Int!){jobs(limit:$n){" + short + repeat(19, "a%d:id ") + "}}",
		"the audit and the log":    "{audit(first:1000){" + entry + "} auditLog(first:1000){pos hash leaf hidden checkpoint} b:auditLog(first:1000){pos hash leaf hidden checkpoint}}",
		"deliveries and attempts":  `{deliveries(webhook:"x",first:1000){nodes{id log{number at durationSeconds status error} ` + repeat(4, "a%d:id ") + `}}}`,
		"nested lists":             "{jobs(limit:1000){steps{artifacts{name url}}}}",
		"a long text":              `{job(id:"` + strings.Repeat("x", 70_000) + `"){id}}`,
		"brackets":                 "{jobs(status:" + strings.Repeat("[", 1900) + "){id}}",
	}
	for name, query := range bombs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := w.ask(query, map[string]any{"n": 1000})
		runtime.ReadMemStats(&after)
		if got.status != http.StatusUnprocessableEntity && got.status != http.StatusBadRequest || len(got.Errors) == 0 || len(w.limiter.drain()) > 0 {
			t.Errorf("%s: %d %.200s", name, got.status, got.body)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 10<<20 {
			t.Errorf("%s took %d bytes", name, used)
		}
	}
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// What people ask for is far from the limits.
func TestOrdinaryQueriesPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.submit()
	for name, query := range map[string]string{
		"a page of whole jobs": "{jobsConnection(first:100){pageInfo{endCursor} nodes{" + wholeJob + "}}}",
		"a page of the audit":  "{audit(first:1000){" + entry + "} auditLog{pos leaf}}",
		"webhooks":             "{webhooks(first:100){nodes{id name secrets{id} health{circuitBreaker failures}} pageInfo{endCursor}}}",
		"many short jobs":      "{jobs(limit:1000){id vmPath status progress startedAt completedAt error}}",
		"a dashboard":          "{status{jobs{status count} workers{busy size}} nodes{id} jobs(limit:20){id status} vms{name disks{key capacityBytes}}}",
		"introspection":        introspection,
	} {
		for range 2 { // the second time from the cache
			if got := w.ask(query, nil); got.status != http.StatusOK || len(got.Errors) > 0 || got.Data == nil {
				t.Errorf("%s: %d %.300s", name, got.status, got.body)
			}
		}
	}
}

const short = "id vmPath status progress startedAt completedAt error tenant name provider format outputPath priority paused attempt "

const entry = "nodes{pos id timestamp event tenant actor{type id ip} resource{type id vm} action result requestId traceId metadata} pageInfo{endCursor}"

const wholeJob = `id vmPath status progress startedAt completedAt error tenant spec name provider format outputPath labels priority waitReason
	paused attempt maxAttempts node submittedAt notBefore failure{kind code message fix} cancelReason artifactsRemovedAt
	progressDetail{phase percent bytesRead bytesTotal disks{key bytesRead}} artifacts{name url bytes sha256} steps{id type status attempt}`

// introspection is what GraphiQL asks.
const introspection = `query IntrospectionQuery {
  __schema { queryType{name} mutationType{name} subscriptionType{name} types{...FullType} directives{name description locations args{...InputValue}} } }
  fragment FullType on __Type { kind name description fields(includeDeprecated:true){name description args{...InputValue} type{...TypeRef} isDeprecated deprecationReason}
    inputFields{...InputValue} interfaces{...TypeRef} enumValues(includeDeprecated:true){name description isDeprecated deprecationReason} possibleTypes{...TypeRef} }
  fragment InputValue on __InputValue { name description type{...TypeRef} defaultValue }
  fragment TypeRef on __Type { kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}} }`
