package job

// MaxSteps is the most steps that one workflow may have.
const MaxSteps = 100

// Plan is the graph of a job's steps: a plain export is one step. The last
// Finally steps run after all others.
type Plan struct {
	Steps   []Step
	Finally int
}

// IsWorkflow tells whether the spec is a workflow rather than an export.
func (s Spec) IsWorkflow() bool { return len(s.Jobs)+len(s.Finally) > 0 }

// Plan returns the job's plan. Whether it can be carried out is what
// Spec.Validate says.
func (s Spec) Plan() Plan {
	if !s.IsWorkflow() {
		return Plan{Steps: []Step{{ID: "export", Type: "export"}}}
	}
	steps := make([]Step, 0, len(s.Jobs)+len(s.Finally))
	return Plan{Steps: append(append(steps, s.Jobs...), s.Finally...), Finally: len(s.Finally)}
}

// Main returns the steps that are not in finally.
func (p Plan) Main() []Step { return p.Steps[:len(p.Steps)-p.Finally] }

// InFinally tells whether step i is one of finally.
func (p Plan) InFinally(i int) bool { return i >= len(p.Steps)-p.Finally }

// VM returns the path of the first VM that the job exports, "" if there is none.
func (s Spec) VM() string {
	for i := range s.Jobs {
		if s.Jobs[i].VMPath != "" {
			return s.Jobs[i].VMPath
		}
	}
	return s.VMPath
}
