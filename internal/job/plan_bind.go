package job

import (
	"maps"
	"reflect"
	"slices"
)

// workflowKeys are the keys that a workflow has beside its steps.
var workflowKeys = map[string]bool{
	"name": true, "jobs": true, "finally": true, "priority": true, "labels": true, "not_before": true, "timeout": true,
	"bandwidth_limit": true, "bandwidth_windows": true,
}

// WorkflowKeys lists the keys of a workflow.
func WorkflowKeys() []string { return slices.Sorted(maps.Keys(workflowKeys)) }

// isWorkflow tells whether an object with the key jobs is a workflow: it has
// finally, or one of its jobs has an id, a type or depends_on, which no job of a
// batch has.
func isWorkflow(n *node) bool {
	if n.kind != kindMap {
		return false
	}
	if n.get("finally") != nil {
		return true
	}
	jobs := n.get("jobs")
	if jobs == nil || jobs.kind != kindList {
		return false
	}
	for _, item := range jobs.items {
		if item.get("id") != nil || item.get("type") != nil || item.get("depends_on") != nil {
			return true
		}
	}
	return false
}

// bindWorkflow fills a Spec from a workflow.
func (b *binder) bindWorkflow(n *node, where string, s *Spec) {
	outer := b.columns
	b.columns = true
	defer func() { b.columns = outer }()
	v := reflect.ValueOf(s).Elem()
	names := fieldNames(v.Type())
	known := map[string]int{}
	for key := range workflowKeys {
		known[key] = names[key]
	}
	for _, p := range n.pairs {
		path := where + p.key
		switch {
		case p.key == "jobs":
			if s.Jobs = b.bindSteps(p.value, path); s.Jobs != nil && len(s.Jobs) == 0 {
				b.problemf(p.pos, path, "a workflow needs at least one step")
			}
		case p.key == "finally":
			s.Finally = b.bindSteps(p.value, path)
		case workflowKeys[p.key]:
			b.bind(p.value, path, v.Field(names[p.key]))
		default:
			b.problemf(p.pos, path, "a workflow has no such key%s", suggestion(p.key, maps.Keys(known)))
		}
	}
}

func (b *binder) bindSteps(n *node, path string) []Step {
	if n.kind == kindNull || !b.expect(n, path, kindList) {
		return nil
	}
	if len(n.items) > MaxBatch { // a short text holds very many empty steps
		b.problemf(n.pos, path, "a workflow has at most %d steps", MaxSteps)
		return nil
	}
	steps := make([]Step, len(n.items))
	for i, item := range n.items {
		b.bindStep(item, path+"["+itoa(i)+"]", &steps[i])
	}
	return steps
}

func (b *binder) bindStep(n *node, path string, s *Step) {
	if n.kind != kindMap {
		b.problemf(n.pos, path, "must be a step (a mapping), not %s", n.kind)
		return
	}
	s.at = map[string]pos{"": n.pos}
	v := reflect.ValueOf(s).Elem()
	names := fieldNames(v.Type())
	typ := ""
	if t := n.get("type"); t != nil {
		typ = t.text
	}
	for name := range names {
		if name == "" || !takesKey(typ, name) {
			delete(names, name)
		}
	}
	for _, p := range n.pairs {
		i, ok := names[p.key]
		if !ok {
			b.problemf(p.pos, path+"."+p.key, "%s has no such key%s", stepNoun(typ), suggestion(p.key, maps.Keys(names)))
			continue
		}
		s.at[p.key] = p.value.pos
		b.bindStepKey(p, path+"."+p.key, v.Field(i), s)
	}
}

func stepNoun(typ string) string {
	if _, known := stepTypes[typ]; !known {
		return "a step"
	}
	return "a step of the type " + typ
}

func (b *binder) bindStepKey(p pair, path string, field reflect.Value, s *Step) {
	switch p.key {
	case "depends_on":
		if p.value.kind == kindString {
			s.DependsOn = Names{p.value.text}
			return
		}
		for i, item := range p.value.items {
			s.at["depends_on."+itoa(i)] = item.pos
		}
	case "retry":
		b.bindRetry(p.value, path, s)
		return
	}
	b.bind(p.value, path, field)
}

func (b *binder) bindRetry(n *node, path string, s *Step) {
	if n.kind == kindNull || !b.expect(n, path, kindMap) {
		return
	}
	s.Retry = new(RetryPolicy)
	v := reflect.ValueOf(s.Retry).Elem()
	names := fieldNames(v.Type())
	for _, p := range n.pairs {
		i, ok := names[p.key]
		if !ok {
			b.problemf(p.pos, path+"."+p.key, "unknown key%s", suggestion(p.key, maps.Keys(names)))
			continue
		}
		s.at["retry."+p.key] = p.value.pos
		b.bind(p.value, path+"."+p.key, v.Field(i))
	}
}
