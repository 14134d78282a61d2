package job

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

var update = flag.Bool("update", false, "write docs/states.md")

//go:generate go test -run TestStatesDoc -update .

const statesDoc = "../../docs/states.md"

// TestTransitionIsTotal: each pair of a state and a trigger has one answer, and
// every final state stays.
func TestTransitionIsTotal(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules {
		key := string(r.from) + " " + string(r.on)
		if seen[key] {
			t.Errorf("two rules for %s", key)
		}
		seen[key] = true
		if !r.from.Valid() || !r.to.Valid() || r.why == "" {
			t.Errorf("bad rule %+v", r)
		}
	}
	for _, from := range States() {
		for _, on := range triggers {
			to, err := Transition(from, on)
			switch {
			case seen[string(from)+" "+string(on)] != (err == nil):
				t.Errorf("%s × %s: %v", from, on, err)
			case err != nil && (!fault.Is(err, fault.Conflict) || to != from):
				t.Errorf("%s × %s is refused with %v and %s", from, on, err, to)
			case from.Final() && to != from && on != Restart:
				t.Errorf("%s × %s leaves a final state", from, on)
			}
		}
	}
}

// TestEveryStateEnds: from each state a final one can be reached, and each state
// can be reached from pending.
func TestEveryStateEnds(t *testing.T) {
	reach := func(from State) map[State]bool {
		found := map[State]bool{from: true}
		for grown := true; grown; {
			grown = false
			for _, r := range rules {
				if found[r.from] && !found[r.to] {
					found[r.to], grown = true, true
				}
			}
		}
		return found
	}
	if got := len(reach(Pending)); got != len(states) {
		t.Errorf("%d of %d states can be reached", got, len(states))
	}
	for _, s := range States() {
		if r := reach(s); !s.Final() && (!r[Completed] || !r[Cancelled]) {
			t.Errorf("%s cannot end", s)
		}
	}
}

func TestStatesDoc(t *testing.T) {
	want := renderStates()
	if *update {
		if err := os.WriteFile(statesDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statesDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the state table says: run go generate ./internal/job", statesDoc)
	}
}

func renderStates() string {
	var b strings.Builder
	b.WriteString("# States of a job\n\n<!-- Written by go generate ./internal/job from its state table. -->\n\n")
	b.WriteString("Each row that changes the state is one transaction: the new state and its event are stored together,\n")
	b.WriteString("and only by the worker whose lease is the newest. Every pair that is not listed is refused with `conflict`.\n\n")
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> pending: submit\n")
	for _, r := range rules {
		if r.from != r.to {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", r.from, r.to, r.on)
		}
	}
	b.WriteString("    completed --> [*]\n    failed --> [*]\n    cancelled --> [*]\n```\n\n")
	b.WriteString("| state | trigger | next state | meaning |\n|---|---|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.from, r.on, r.to, r.why)
	}
	return b.String()
}
