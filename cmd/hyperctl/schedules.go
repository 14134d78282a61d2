package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func schedulesCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{
		Use: "schedules", Short: "Submit jobs again and again",
		Long: `A schedule submits jobs at the times of a cron expression in a time zone:

  name: nightly
  cron: "30 2 * * *"            # minute hour day-of-month month day-of-week, or @daily …
  time_zone: Europe/Berlin
  overlap: skip                 # while jobs of the last run go on: skip, queue, replace
  catch_up: last                # runs missed by a downtime: none, last, all
  jitter: 10m
  jobs:
    - vm_path: /DC/vm/web-01
      format: qcow2

A time that the clock skips in spring runs right after the gap; one that it shows
twice in autumn runs once.`,
	}
	cmd.AddCommand(listSchedules(c), getSchedule(c), createSchedule(c), setSchedule(c), runSchedule(c), deleteSchedule(c),
		changeSchedule(c, "pause", "Stop the runs of schedules", (*client.Client).PauseSchedule),
		changeSchedule(c, "resume", "Go on with schedules; runs in between are not made up for", (*client.Client).ResumeSchedule))
	return cmd
}

func listSchedules(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List schedules", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			all := []client.Schedule{}
			rows := [][]string{{"NAME", "CRON", "TIME ZONE", "NEXT RUN", "LAST RUN", "JOBS", "NOTE"}}
			for s, err := range d.Schedules(ctx) {
				if err != nil {
					return err
				}
				all = append(all, s)
				next := "-"
				if len(s.NextRuns) > 0 {
					next = localTime(&s.NextRuns[0])
				}
				rows = append(rows, []string{s.Spec.Name, s.Spec.Cron, s.Spec.TimeZone, next, localTime(s.LastRun), strconv.Itoa(len(s.Spec.Jobs)), scheduleNote(&s)})
			}
			if c.json {
				return c.encode(all)
			}
			return console.Table(c.out, rows)
		}),
	}
}

func scheduleNote(s *client.Schedule) string {
	switch {
	case s.LastError != nil:
		return s.LastError.Code + " " + s.LastError.Message
	case s.Spec.Paused:
		return "paused"
	case s.Queued > 0:
		return fmt.Sprintf("%d runs wait", s.Queued)
	}
	return ""
}

func localTime(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func getSchedule(c *ctl) *cobra.Command {
	var spec bool
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show a schedule and its last runs", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeSchedules,
		Example: "  hyperctl schedules get nightly --spec > nightly.json   # to edit, for `hyperctl schedules set`",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			s, err := d.Schedule(ctx, args[0])
			if err != nil {
				return err
			}
			if spec {
				return c.encode(s.Spec)
			}
			runs, err := d.ScheduleRuns(ctx, args[0])
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(map[string]any{"schedule": s, "runs": runs})
			}
			return c.showSchedule(&s, runs)
		}),
	}
	cmd.Flags().BoolVar(&spec, "spec", false, "only the definition, as JSON")
	return cmd
}

// shownRuns is how many of the last runs are shown.
const shownRuns = 10

func (c *ctl) showSchedule(s *client.Schedule, runs []client.ScheduleRun) error {
	rows := [][]string{
		{"ID", s.ID},
		{"NAME", s.Spec.Name},
		{"CRON", s.Spec.Cron + " " + s.Spec.TimeZone},
		{"OVERLAP", s.Spec.Overlap},
		{"CATCH UP", s.Spec.CatchUp},
		{"JOBS", strconv.Itoa(len(s.Spec.Jobs))},
	}
	if note := scheduleNote(s); note != "" {
		rows = append(rows, []string{"NOTE", note})
	}
	for i := range s.NextRuns {
		rows = append(rows, []string{"NEXT RUN", localTime(&s.NextRuns[i])})
	}
	for i, r := range runs {
		if i == shownRuns {
			break
		}
		text := localTime(&r.Time) + "  " + r.Outcome
		switch {
		case r.Error != nil:
			text += ": " + r.Error.Code + " " + r.Error.Message
		case r.Missed > 1:
			text += fmt.Sprintf(" (%d runs)", r.Missed)
		case len(r.JobIDs) > 0:
			text += "  " + r.JobIDs[0]
			if more := len(r.JobIDs) - 1; more > 0 {
				text += fmt.Sprintf(" and %d more", more)
			}
		}
		rows = append(rows, []string{"RUN", text})
	}
	return console.Table(c.out, rows)
}

func createSchedule(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "create --file FILE", Short: "Create a schedule", Args: cobra.NoArgs,
		Example: "  hyperctl schedules create -f nightly.yaml",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			s, err := d.CreateScheduleFile(ctx, text, "application/yaml") // JSON is YAML
			if err != nil {
				return err
			}
			return c.scheduleDone(&s)
		}),
	}
	scheduleFile(cmd, &file)
	return cmd
}

func setSchedule(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "set NAME --file FILE", Short: "Replace the definition of a schedule", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeSchedules,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			s, err := d.SetScheduleFile(ctx, args[0], text, "application/yaml")
			if err != nil {
				return err
			}
			return c.scheduleDone(&s)
		}),
	}
	scheduleFile(cmd, &file)
	return cmd
}

func scheduleFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "JSON or YAML file with the schedule; - for standard input")
	_ = cmd.MarkFlagRequired("file")
}

func (c *ctl) scheduleDone(s *client.Schedule) error {
	if c.json {
		return c.encode(s)
	}
	next := "no run to come"
	if len(s.NextRuns) > 0 {
		next = "next run " + localTime(&s.NextRuns[0])
	} else if s.Spec.Paused {
		next = "paused"
	}
	_, err := fmt.Fprintf(c.out, "%s: %s\n", s.Spec.Name, next)
	return err
}

// changeSchedule makes the command for a change that needs no more than a name.
func changeSchedule(c *ctl, verb, short string, change func(*client.Client, context.Context, string) (client.Schedule, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME…", Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeSchedules,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, name := range args {
				s, err := change(d, ctx, name)
				if err == nil {
					err = c.scheduleDone(&s)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

func runSchedule(c *ctl) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "run NAME", Short: "Run a schedule now", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeSchedules,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			r, err := d.RunSchedule(ctx, args[0])
			switch {
			case err != nil:
				return err
			case wait && len(r.JobIDs) > 0:
				return c.watch(ctx, d, r.JobIDs)
			case c.json:
				return c.encode(r)
			case len(r.JobIDs) == 0:
				_, err = fmt.Fprintln(c.out, r.Outcome)
			}
			for _, id := range r.JobIDs {
				_, err = fmt.Fprintln(c.out, id)
			}
			return err
		}),
	}
	cmd.Flags().BoolVarP(&wait, "watch", "w", false, "follow the jobs to their end")
	return cmd
}

func deleteSchedule(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME…", Short: "Delete schedules; their jobs go on", Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeSchedules,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, name := range args {
				err := d.DeleteSchedule(ctx, name)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s: deleted\n", name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

// completeSchedules completes names of schedules in the shell.
func (c *ctl) completeSchedules(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	d, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for s, err := range d.Schedules(cmd.Context()) {
		if err != nil {
			break
		}
		names = append(names, s.Spec.Name+"\t"+s.Spec.Cron)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
