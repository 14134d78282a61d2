package console

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// Workflow writes how a workflow and its steps are.
func Workflow(w io.Writer, j *job.Job) error {
	if _, err := fmt.Fprintf(w, "%s: %s\n", Printable(j.Spec.Name), j.State); err != nil {
		return err
	}
	rows := [][]string{{"STEP", "TYPE", "STATUS", "ATTEMPT", "TOOK", "NOTE"}}
	for i := range j.Steps {
		s := &j.Steps[i]
		rows = append(rows, []string{s.ID, s.Type, string(s.State), strconv.Itoa(s.Attempt), took(s), note(s, j.Progress)})
	}
	if err := Table(w, rows); err != nil {
		return err
	}
	for _, a := range j.Artifacts {
		if _, err := fmt.Fprintf(w, "  %s  %s\n", Printable(a.URL), Bytes(a.Bytes)); err != nil {
			return err
		}
	}
	if j.Error != nil {
		Failure(w, j.Spec.Name, string(j.State), j.Error)
	}
	return nil
}

func took(s *job.StepState) string {
	if s.StartedAt == nil || s.FinishedAt == nil {
		return ""
	}
	return s.FinishedAt.Sub(*s.StartedAt).Round(10 * time.Millisecond).String()
}

func note(s *job.StepState, p *job.Progress) string {
	switch {
	case s.Error != nil:
		return s.Error.Code + " " + s.Error.Message
	case s.Reason != "":
		return s.Reason
	case s.State == job.StepRunning && p != nil:
		return fmt.Sprintf("%s %.0f%%", p.Phase, p.Percent)
	}
	return ""
}
