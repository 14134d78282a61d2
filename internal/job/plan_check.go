package job

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The codes of what can be wrong with a plan.
const (
	codeSteps     = "HX-FLOW-001" // none, or too many
	codeID        = "HX-FLOW-002" // missing, malformed, or there twice
	codeType      = "HX-FLOW-003" // no such type
	codeUnknown   = "HX-FLOW-004" // a step that does not exist
	codeCycle     = "HX-FLOW-005" // steps that wait for each other
	codeAncestor  = "HX-FLOW-006" // input of a step that need not have run
	codeContent   = "HX-FLOW-007" // input of the wrong kind
	codeReference = "HX-FLOW-008" // no reference
	codeCondition = "HX-FLOW-009" // a condition that is none, or never holds
	codeValue     = "HX-FLOW-010" // a value that is missing or wrong
)

// planChecker gathers what is wrong with a plan.
type planChecker struct {
	plan     Plan
	index    map[string]int // by id
	code     string         // of the first problem
	problems []string
	more     int
}

// validateWorkflow judges a workflow. Kind Unprocessable; the message lists all
// problems, with their places if the workflow came as a document.
func (s Spec) validateWorkflow(now time.Time) error {
	c := &planChecker{plan: s.Plan(), index: map[string]int{}}
	var p problems
	p.name(s.Name)
	p.oneOf("priority", string(s.Priority), strings.Split(PriorityNames(), ", ")...)
	p.times(s, now)
	p.labels(s.Labels)
	p.bandwidth(s)
	for _, what := range p {
		c.addf(codeValue, nil, "", "%s", what)
	}
	c.check(now)
	if len(c.problems) == 0 {
		return nil
	}
	return fault.New(fault.Unprocessable, c.code, c.message(), "correct the workflow; the guide's section Workflows has the rules")
}

func (c *planChecker) message() string {
	msg := strings.Join(c.problems, "; ")
	if c.more > 0 {
		msg += fmt.Sprintf("; and %d more", c.more)
	}
	return msg
}

// addf records a problem of a key of a step.
func (c *planChecker) addf(code string, s *Step, key, format string, args ...any) {
	if c.code == "" {
		c.code = code
	}
	if len(c.problems) == maxProblems {
		c.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if s != nil {
		text = s.Place(key) + text
	}
	c.problems = append(c.problems, text)
}

// Place says where a key of the step stands, as the beginning of a message. The
// empty key is the step itself, and so is one that is not there.
func (s *Step) Place(key string) string {
	at, ok := s.at[key]
	if !ok {
		at = s.at[""]
	}
	text := at.String()
	if text != "" {
		text += ": "
	}
	if s.ID == "" {
		return text
	}
	return text + fmt.Sprintf("step %.63q: ", s.ID)
}

func (c *planChecker) check(now time.Time) {
	steps := c.plan.Steps
	if len(c.plan.Main()) == 0 {
		c.addf(codeSteps, nil, "", "the workflow has no jobs")
	}
	if len(steps) > MaxSteps {
		c.addf(codeSteps, &steps[MaxSteps], "", "the workflow has %d steps; %d are allowed", len(steps), MaxSteps)
		return
	}
	for i := range steps {
		c.identity(i)
	}
	for i := range steps {
		c.dependencies(i)
	}
	if len(c.problems) > 0 {
		return // what follows relies on the graph
	}
	if !c.acyclic() {
		return
	}
	for i := range steps {
		c.input(i)
		c.values(&steps[i], now)
	}
}

func (c *planChecker) identity(i int) {
	s := &c.plan.Steps[i]
	switch {
	case s.ID == "":
		c.addf(codeID, s, "id", "the step has no id")
	case !isStepID(s.ID):
		c.addf(codeID, s, "id", "the id is not 1 to 63 letters, digits, dashes and underscores")
	default:
		if _, twice := c.index[s.ID]; twice {
			c.addf(codeID, s, "id", "the id is there twice")
			break
		}
		c.index[s.ID] = i
	}
	if _, known := stepTypes[s.Type]; !known {
		what := fmt.Sprintf("the type %.50q is not known", s.Type)
		if s.Type == "" {
			what = "the step has no type"
		}
		c.addf(codeType, s, "type", "%s; the types are %s", what, strings.Join(StepTypes(), ", "))
	}
}

func (c *planChecker) dependencies(i int) {
	s := &c.plan.Steps[i]
	for n, id := range s.DependsOn {
		key := "depends_on." + itoa(n)
		if len(s.DependsOn) == 1 {
			key = "depends_on"
		}
		dep, known := c.index[id]
		switch {
		case id == s.ID:
			c.addf(codeCycle, s, key, "it depends on itself")
		case !known:
			c.addf(codeUnknown, s, key, "depends_on: there is no step %.63q%s", id, suggestion(id, maps.Keys(c.index)))
		case slices.Contains(s.DependsOn[:n], id):
			c.addf(codeUnknown, s, key, "depends_on names %q twice", id)
		case c.plan.InFinally(dep) && !c.plan.InFinally(i):
			c.addf(codeCycle, s, key, "depends_on: %q is in finally and runs after this step", id)
		}
	}
	switch s.When {
	case "", OnSuccess, Always:
	case OnFailure:
		if len(s.DependsOn) == 0 && !c.plan.InFinally(i) {
			c.addf(codeCondition, s, "when", "when: failure needs depends_on: nothing comes before this step")
		}
	default:
		c.addf(codeCondition, s, "when", "when: %.50q is not one of success, failure, always", s.When)
	}
}

// acyclic looks for steps that wait for each other.
func (c *planChecker) acyclic() bool {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(c.plan.Steps))
	var path []string
	var visit func(i int) bool
	visit = func(i int) bool {
		s := &c.plan.Steps[i]
		state[i] = open
		path = append(path, s.ID)
		for n, id := range s.DependsOn {
			switch dep := c.index[id]; state[dep] {
			case open:
				key := "depends_on." + itoa(n)
				if len(s.DependsOn) == 1 {
					key = "depends_on"
				}
				loop := path[slices.Index(path, id):]
				c.addf(codeCycle, s, key, "steps that wait for each other: %s", strings.Join(append(slices.Clone(loop), id), " → "))
				return false
			case unseen:
				if !visit(dep) {
					return false
				}
			}
		}
		state[i] = done
		path = path[:len(path)-1]
		return true
	}
	for i := range c.plan.Steps {
		if state[i] == unseen && !visit(i) {
			return false
		}
	}
	return true
}

// input checks the reference: the step exists, comes before, and makes what this
// one takes.
func (c *planChecker) input(i int) {
	s := &c.plan.Steps[i]
	if s.Input == "" {
		return
	}
	id := s.Input.Step()
	if id == "" {
		c.addf(codeReference, s, "input", "input %.80q is no reference; write $STEP.output", s.Input)
		return
	}
	from, known := c.index[id]
	takes := stepTypes[s.Type].takes
	switch {
	case !known:
		c.addf(codeUnknown, s, "input", "input: there is no step %.63q%s", id, suggestion(id, maps.Keys(c.index)))
	case from == i:
		c.addf(codeCycle, s, "input", "input: it refers to itself")
	case !c.before(from, i):
		c.addf(codeAncestor, s, "input", "input: %q need not have run before this step; add it to depends_on", id)
	case c.plan.Steps[from].makes() == Nothing:
		c.addf(codeContent, s, "input", "input: a step of the type %s has no output", c.plan.Steps[from].Type)
	case takes != Any && c.plan.Steps[from].makes() != takes:
		c.addf(codeContent, s, "input", "input: %s takes %s, and %q makes %s", s.Type, takes, id, c.plan.Steps[from].makes())
	}
}

// before tells whether step a has ended when step b starts. The graph is acyclic.
func (c *planChecker) before(a, b int) bool {
	if c.plan.InFinally(b) && !c.plan.InFinally(a) {
		return true
	}
	seen := make([]bool, len(c.plan.Steps))
	todo := []int{b}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, id := range c.plan.Steps[i].DependsOn {
			dep := c.index[id]
			if dep == a {
				return true
			}
			if !seen[dep] {
				seen[dep] = true
				todo = append(todo, dep)
			}
		}
	}
	return false
}
