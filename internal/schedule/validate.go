package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Limits of a schedule's values.
const (
	maxName        = 63
	MaxJobs        = 100 // jobs that one run submits
	MaxCatchUp     = 100
	defaultCatchUp = 10
	maxJitter      = 24 * time.Hour
)

// Validate judges a definition that has its defaults, but for its jobs: those are
// judged as in a submit. Kind Unprocessable; the message lists all problems.
func (d Definition) Validate(now time.Time) error {
	var wrong []string
	if err := checkName(d.Name); err != nil {
		wrong = append(wrong, err.Error())
	}
	if !slices.Contains([]Overlap{Skip, Queue, Replace}, d.Overlap) {
		wrong = append(wrong, fmt.Sprintf("overlap %.50q is not one of skip, queue, replace", d.Overlap))
	}
	wrong = append(wrong, d.checkCatchUp()...)
	wrong = append(wrong, d.checkJobs()...)
	c, err := ParseCron(d.Cron, d.TimeZone)
	if err != nil {
		wrong = append(wrong, err.Error())
	} else if runs := c.Upcoming(now, gapsLooked); len(runs) == 0 {
		wrong = append(wrong, fmt.Sprintf("cron %q never comes", d.Cron))
	} else if err := d.checkJitter(runs); err != nil {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Unprocessable, "HX-SCHED-001", strings.Join(wrong, "; "), "correct the schedule and send it again")
}

// checkName takes what can stand in a URL and in a label, and is no id.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("name is missing")
	case len(name) > maxName:
		return fmt.Errorf("name is longer than %d bytes", maxName)
	case strings.Trim(name, ".") == "" || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("._-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}):
		return fmt.Errorf("name %q is not letters, digits, dots, dashes and underscores", name)
	}
	if _, err := uuid.Parse(name); err == nil {
		return fmt.Errorf("name %q looks like an id", name)
	}
	return nil
}

func (d Definition) checkCatchUp() (wrong []string) {
	if !slices.Contains([]CatchUp{None, Last, All}, d.CatchUp) {
		wrong = append(wrong, fmt.Sprintf("catch_up %.50q is not one of none, last, all", d.CatchUp))
	}
	switch {
	case d.CatchUp == All && (d.CatchUpLimit < 1 || d.CatchUpLimit > MaxCatchUp):
		wrong = append(wrong, fmt.Sprintf("catch_up_limit must be between 1 and %d", MaxCatchUp))
	case d.CatchUp != All && d.CatchUpLimit != 0:
		wrong = append(wrong, "catch_up_limit goes with catch_up: all")
	}
	if d.CatchUp == All && d.Overlap != Queue {
		wrong = append(wrong, "catch_up: all needs overlap: queue, or only one of the runs that are made up for would be left")
	}
	return wrong
}

func (d Definition) checkJobs() (wrong []string) {
	switch n := len(d.Jobs); {
	case n == 0:
		wrong = append(wrong, "jobs is missing: a schedule submits at least one job")
	case n > MaxJobs:
		wrong = append(wrong, fmt.Sprintf("jobs holds %d jobs; %d are allowed", n, MaxJobs))
	}
	for i, s := range d.Jobs {
		if s.NotBefore != nil {
			wrong = append(wrong, fmt.Sprintf("jobs[%d].not_before: the schedule says when", i))
		}
		for _, label := range []string{LabelSchedule, LabelRun} {
			if _, there := s.Labels[label]; there {
				wrong = append(wrong, fmt.Sprintf("jobs[%d].labels: %s is set by the schedule", i, label))
			}
		}
		if len(wrong) > 20 {
			return wrong
		}
	}
	return wrong
}

// ParseJitter returns the longest delay of a run, 0 for none.
func (d Definition) ParseJitter() (time.Duration, error) {
	if d.Jitter == "" {
		return 0, nil
	}
	v, err := time.ParseDuration(d.Jitter)
	if err != nil || v < 0 || v > maxJitter {
		return 0, fmt.Errorf("jitter %.50q must be a duration such as 5m, at most 24h", d.Jitter)
	}
	return v, nil
}

// gapsLooked is how many runs ahead the shortest pause between two is looked for.
const gapsLooked = 50

// checkJitter sees to it that a run begins before the next one.
func (d Definition) checkJitter(runs []time.Time) error {
	jitter, err := d.ParseJitter()
	if err != nil {
		return err
	}
	for i := 1; i < len(runs); i++ {
		if gap := runs[i].Sub(runs[i-1]); jitter >= gap {
			return fmt.Errorf("jitter %s must be shorter than the pause between two runs, which can be %s", d.Jitter, gap)
		}
	}
	return nil
}
