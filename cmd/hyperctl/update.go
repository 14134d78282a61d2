package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

// updateJobs are the commands that change jobs.
func updateJobs(c *ctl) []*cobra.Command {
	var reason string
	pause := c.each("pause ID…", "Hold pending jobs back; they keep their place", func(ctx context.Context, d *client.Client, id string) (client.Job, error) {
		return d.Pause(ctx, id, reason)
	})
	pause.Flags().StringVar(&reason, "reason", "", "why; kept in the job's events")
	resume := c.each("resume ID…", "Let paused jobs go", func(ctx context.Context, d *client.Client, id string) (client.Job, error) {
		return d.Resume(ctx, id)
	})
	retry := c.each("retry ID…", "Run jobs again that failed or were cancelled; start the next attempt of others now",
		func(ctx context.Context, d *client.Client, id string) (client.Job, error) { return d.Retry(ctx, id) })
	var to string
	priority := c.each("priority ID… --to PRIORITY", "Give pending jobs another priority", func(ctx context.Context, d *client.Client, id string) (client.Job, error) {
		return d.SetPriority(ctx, id, to)
	})
	priority.Example = "  hyperctl jobs priority --to critical 019a…"
	priority.Flags().StringVar(&to, "to", "", "critical, high, normal, low")
	_ = priority.MarkFlagRequired("to")
	completePriority(priority, "to")
	return []*cobra.Command{pause, resume, retry, priority, bulkJobs(c)}
}

func completePriority(cmd *cobra.Command, flag string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions([]string{"critical", "high", "normal", "low"}, cobra.ShellCompDirectiveNoFileComp))
}

// each makes a command that does one thing to each job that is named.
func (c *ctl) each(use, short string, do func(ctx context.Context, d *client.Client, id string) (client.Job, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeJobs,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, id := range args {
				j, err := do(ctx, d, id)
				switch {
				case err == nil && c.json:
					err = c.encode(j)
				case err == nil:
					_, err = fmt.Fprintf(c.out, "%s: %s\n", id, jobState(&j))
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

// jobState tells in a few words how a job is.
func jobState(j *client.Job) string {
	if j.WaitReason != "" {
		return fmt.Sprintf("%s (%s), priority %s", j.Status, j.WaitReason, j.Priority)
	}
	return string(j.Status)
}

func bulkJobs(c *ctl) *cobra.Command {
	var b client.BulkRequest
	var states []string
	var since time.Duration
	cmd := &cobra.Command{
		Use: "bulk cancel|retry|priority|pause|resume", Short: "Do one thing to all jobs that match", Args: cobra.ExactArgs(1),
		Long: `Bulk changes the jobs that match all flags and that the action is for. Try it with
--dry-run first: that only counts.`,
		Example: `  hyperctl jobs bulk retry --status failed --since 12h --dry-run
  hyperctl jobs bulk priority --to high --vm 'db-*'
  hyperctl jobs bulk cancel --status pending --reason "wrong folder"`,
		ValidArgs: []string{"cancel", "retry", "priority", "pause", "resume"},
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			b.Action = args[0]
			for _, s := range states {
				b.Filter.Status = append(b.Filter.Status, client.State(s))
			}
			if since > 0 {
				b.Filter.Since = time.Now().Add(-since)
			}
			r, err := d.Bulk(ctx, b)
			if err != nil {
				return err
			}
			return c.showBulk(r)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&states, "status", nil, "pending, running, failed, cancelled; repeat for several")
	f.StringArrayVar(&b.Filter.Priority, "priority", nil, "critical, high, normal, low; repeat for several")
	f.StringVar(&b.Filter.VM, "vm", "", "VM by path or name; * and ? are wildcards")
	f.DurationVar(&since, "since", 0, "submitted within this time, e.g. 12h")
	f.StringVar(&b.Priority, "to", "", "the new priority, of the action priority")
	f.StringVar(&b.Reason, "reason", "", "why; of cancel and pause")
	f.BoolVar(&b.DryRun, "dry-run", false, "only count the jobs")
	completePriority(cmd, "priority")
	completePriority(cmd, "to")
	return cmd
}

func (c *ctl) showBulk(r client.BulkResult) error {
	if c.json {
		return c.encode(r)
	}
	more := ""
	if r.More {
		more = ", and there are more: run it again"
	}
	if r.DryRun {
		_, err := fmt.Fprintf(c.out, "%d jobs match%s\n", r.Matched, more)
		return err
	}
	for _, e := range r.Errors {
		_, _ = fmt.Fprintf(c.err, "%s: %s %s\n", e.JobID, e.Code, console.Printable(e.Message))
	}
	if _, err := fmt.Fprintf(c.out, "%d changed, %d unchanged, %d failed%s\n", r.Changed, r.Unchanged, r.Failed, more); err != nil {
		return err
	}
	if r.Failed > 0 {
		return exitError(console.ExitPartial)
	}
	return nil
}
