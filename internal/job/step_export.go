package job

import (
	"reflect"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// shared are the fields that a step and a job have in common: those of a step of
// the type export, each with its place in Step and in Spec.
var shared = func() (all [][2]int) {
	step := reflect.TypeFor[Step]()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Spec]()) {
		if s, ok := step.FieldByName(f.Name); ok && s.Type == f.Type {
			all = append(all, [2]int{s.Index[0], f.Index[0]})
		}
	}
	return all
}()

// spec returns what a step has in common with a job, without defaults.
func (s *Step) spec() (out Spec) {
	from, to := reflect.ValueOf(s).Elem(), reflect.ValueOf(&out).Elem()
	for _, f := range shared {
		to.Field(f[1]).Set(from.Field(f[0]))
	}
	return out
}

func (s *Step) take(spec *Spec) {
	from, to := reflect.ValueOf(spec).Elem(), reflect.ValueOf(s).Elem()
	for _, f := range shared {
		to.Field(f[0]).Set(from.Field(f[1]))
	}
}

// Export returns the spec of a step of the type export, as if it had been
// submitted by itself.
func (s *Step) Export() Spec {
	spec := s.spec()
	spec.MaxAttempts = s.Attempts()
	return spec.WithDefaults()
}

// AsStep returns an export as a step of a workflow.
func (s Spec) AsStep() Step {
	step := Step{Type: "export"}
	step.take(&s)
	return step
}

// Over returns the step with what it leaves open taken from the defaults of a job,
// as Spec.Over does. max_attempts are those of retry; priority and labels are of
// the whole workflow, and left out.
func (s *Step) Over(base Spec) Step {
	over, merged := *s, s.spec().Over(base)
	over.take(&merged)
	if base.MaxAttempts == 0 || s.Retry != nil && s.Retry.MaxAttempts != 0 {
		return over
	}
	retry := RetryPolicy{}
	if s.Retry != nil {
		retry = *s.Retry
	}
	retry.MaxAttempts = base.MaxAttempts
	over.Retry = &retry
	return over
}

// MapExports returns the workflow with fn, which merges profiles in, applied to its
// steps of the type export. Their faults are told together, each with the place of
// the step's profile; kind, code and remedy are the first one's. An error that is
// not the workflow's fault comes back as it is.
func (s Spec) MapExports(fn func(Step) (Step, error)) (Spec, error) {
	c := planChecker{}
	var first *fault.Error
	for _, list := range []*[]Step{&s.Jobs, &s.Finally} {
		*list = slices.Clone(*list)
		for i := range *list {
			step := &(*list)[i]
			if step.Type != "export" {
				continue
			}
			mapped, err := fn(*step)
			if err == nil {
				*step = mapped
				continue
			}
			f := fault.As(err)
			if f.Kind == fault.Internal || f.Kind == fault.Cancelled || f.Kind.Retryable() {
				return s, err
			}
			if first == nil {
				first = f
			}
			c.addf(f.Code, step, "profile", "%s", f.Msg)
		}
	}
	if first == nil {
		return s, nil
	}
	return s, fault.New(first.Kind, first.Code, c.message(), first.Fix)
}
