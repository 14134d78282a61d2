package admission

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Unix(1_800_000_000, 0)

// drain plays a queue to its end and returns the tenants in the order of their
// starts.
func drain(q *Queue, p Policy) string {
	var b strings.Builder
	for {
		w, _, ok := q.Start(p, noon)
		if !ok {
			return b.String()
		}
		b.WriteString(w.Tenant)
	}
}

func jobs(tenant string, class, n int, waited time.Duration, from int64) (all []Waiting) {
	for i := range int64(n) {
		all = append(all, Waiting{Tenant: tenant, Ready: Ready{Seq: from + i, Class: class, Since: noon.Add(-waited)}})
	}
	return all
}

func TestNext(t *testing.T) {
	p := Policy{}.WithDefaults()
	for _, c := range []struct {
		name  string
		state State
		jobs  [][]Waiting
		want  string
	}{
		{"nothing", State{}, nil, ""},
		{"class before order", State{}, [][]Waiting{jobs("a", 3, 2, 0, 1), jobs("b", 0, 2, 0, 3)}, "bbaa"},
		{"equal tenants take turns", State{}, [][]Waiting{jobs("a", 2, 3, 0, 1), jobs("b", 2, 3, 0, 4)}, "ababab"},
		{
			"weights", State{Shares: []Share{{Tenant: "a", Weight: 3}, {Tenant: "b", Weight: 1}}},
			[][]Waiting{jobs("a", 2, 6, 0, 1), jobs("b", 2, 2, 0, 7)}, "abaaabaa",
		},
		{"a weight of 0 counts as 1", State{Shares: []Share{{Tenant: "a"}}}, [][]Waiting{jobs("a", 2, 2, 0, 1), jobs("b", 2, 2, 0, 3)}, "abab"},
		{"limit", State{Shares: []Share{{Tenant: "a", Limit: 2, Running: 1}}}, [][]Waiting{jobs("a", 0, 3, 0, 1), jobs("b", 3, 2, 0, 4)}, "abb"},
		{"more run than the limit allows", State{Shares: []Share{{Tenant: "a", Limit: 1, Running: 3}}}, [][]Waiting{jobs("a", 0, 1, 0, 1)}, ""},
		{"pause", State{Shares: []Share{{Tenant: "a", Paused: true}}}, [][]Waiting{jobs("a", 0, 3, 0, 1), jobs("b", 3, 1, 0, 4)}, "b"},
		{
			"who comes back has no credit", State{Virtual: [Classes]int64{2: 10 * unit}, Shares: []Share{{Tenant: "a", Served: [Classes]int64{2: 10 * unit}}, {Tenant: "b"}}},
			[][]Waiting{jobs("a", 2, 3, 0, 1), jobs("b", 2, 3, 0, 4)}, "ababab",
		},
		{
			"what was taken in one class is not owed in another", State{Shares: []Share{{Tenant: "a", Served: [Classes]int64{1: 10 * unit}}}},
			[][]Waiting{jobs("a", 2, 2, 0, 1), jobs("b", 2, 2, 0, 3)}, "abab",
		},
		{
			"one start in eight is for the aged", State{},
			[][]Waiting{jobs("z", 3, 2, time.Hour, 1), jobs("a", 0, 16, time.Minute, 3)}, "aaaaaaazaaaaaaazaa",
		},
		{
			"of the aged the one that waits longest", State{Turn: 7},
			[][]Waiting{jobs("y", 2, 1, time.Hour, 1), jobs("z", 3, 1, 2*time.Hour, 2), jobs("a", 0, 1, 0, 3)}, "zay",
		},
		{
			"an aged job does not pass a limit", State{Turn: 7, Shares: []Share{{Tenant: "z", Limit: 1, Running: 1}}},
			[][]Waiting{jobs("z", 3, 1, time.Hour, 1), jobs("a", 0, 2, 0, 2)}, "aa",
		},
		{"half an hour less a moment is not aged", State{Turn: 7}, [][]Waiting{jobs("z", 3, 1, 30*time.Minute-1, 1), jobs("a", 0, 1, 0, 2)}, "az"},
	} {
		var all []Waiting
		for _, j := range c.jobs {
			all = append(all, j...)
		}
		if got := drain(NewQueue(c.state, all), p); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
