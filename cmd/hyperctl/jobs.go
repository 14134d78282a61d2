package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/job"
)

func jobsCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{Use: "jobs", Short: "Submit, look at, change and cancel jobs"}
	cmd.AddCommand(listJobs(c), getJob(c), watchJobs(c), cancelJobs(c), submitJobs(c))
	cmd.AddCommand(explainJob(c))
	cmd.AddCommand(updateJobs(c)...)
	cmd.AddCommand(jobBandwidth(c))
	return cmd
}

func listJobs(c *ctl) *cobra.Command {
	var q client.Query
	var states []string
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, newest first", Args: cobra.NoArgs,
		Example: "  hyperctl jobs list --status running --status pending\n  hyperctl jobs list --vm 'web-*' --limit 10",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			for _, s := range states {
				q.Status = append(q.Status, client.State(s))
			}
			page, err := d.Query(ctx, q)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(page)
			}
			rows := [][]string{{"ID", "VM", "FORMAT", "STATUS", "PRIORITY", "PROGRESS", "SUBMITTED", "NOTE"}}
			for i := range page.Jobs {
				rows = append(rows, row(&page.Jobs[i]))
			}
			if err := console.Table(c.out, rows); err != nil {
				return err
			}
			if page.NextCursor != "" {
				_, err = fmt.Fprintf(c.err, "%d jobs match; for more: --cursor %s\n", page.Total, page.NextCursor)
			}
			return err
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&states, "status", nil, "pending, running, cancelling, completed, failed, cancelled; repeat for several")
	f.StringVar(&q.VM, "vm", "", "VM by path or name; * and ? are wildcards")
	f.IntVar(&q.Limit, "limit", 0, "jobs on a page (default 50)")
	f.StringVar(&q.Cursor, "cursor", "", "go on after this page")
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(
		[]string{"pending", "running", "cancelling", "completed", "failed", "cancelled"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func row(j *client.Job) []string {
	progress, note := "", j.WaitReason
	if j.Progress != nil && !j.Status.Final() {
		progress = fmt.Sprintf("%s %.0f%%", j.Progress.Phase, j.Progress.Percent)
	}
	if j.Error != nil {
		note = j.Error.Code + " " + j.Error.Message
	}
	what, format := j.Spec.VMPath, j.Spec.Format
	if len(j.Spec.Jobs) > 0 {
		what, format = j.Spec.Name, "workflow"
	}
	return []string{j.ID, what, format, string(j.Status), j.Priority, progress, j.SubmittedAt.Local().Format(time.DateTime), note}
}

func getJob(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one job", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeJobs,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			if c.json {
				j, err := d.Get(ctx, args[0])
				if err != nil {
					return err
				}
				return c.encode(j)
			}
			j, err := console.RemoteJob(ctx, d, args[0])
			if err != nil {
				return err
			}
			return c.show(&j)
		}),
	}
}

// show tells how a job is, or how it ended.
func (c *ctl) show(j *job.Job) error {
	if j.Spec.IsWorkflow() {
		return console.Workflow(c.out, j)
	}
	switch {
	case j.State == job.Completed:
		return console.Completed(c.out, j)
	case j.State.Final() || j.Error != nil:
		console.Failure(c.out, j.Spec.VMPath, string(j.State), j.Error)
		return nil
	}
	rows := [][]string{{"ID", j.ID}, {"VM", j.Spec.VMPath}, {"FORMAT", j.Spec.Format}, {"STATUS", string(j.State)}}
	if j.WaitReason != "" {
		rows = append(rows, []string{"WAITS FOR", j.WaitReason})
	}
	if p := j.Progress; p != nil {
		rows = append(rows, []string{"PROGRESS", fmt.Sprintf("%s %.1f%% (%s of %s, %s, %s left)",
			p.Phase, p.Percent, console.Bytes(p.BytesRead), console.Bytes(p.BytesTotal), console.Rate(p.Rate), console.ETA(p.ETA))})
		if p.LimitedBy != "" {
			rows = append(rows, []string{"LIMITED BY", p.LimitedBy})
		}
	}
	if j.Spec.Profile != "" {
		rows = append(rows, []string{"PROFILE", j.Spec.Profile})
	}
	return console.Table(c.out, rows)
}

func watchJobs(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "watch ID…", Short: "Follow jobs to their end", Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeJobs,
		Long: "Watch shows the progress of jobs until they have ended. Its exit code tells how.\nCtrl-C ends the watching, not the jobs.",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error { return c.watch(ctx, d, args) }),
	}
}

func (c *ctl) watch(ctx context.Context, d *client.Client, ids []string) error {
	display := console.NewProgress(c.err, c.json)
	jobs := make([]job.Job, len(ids))
	for i, id := range ids {
		if err := c.follow(ctx, d, id, display); err != nil {
			display.Close()
			return err
		}
		var err error
		if jobs[i], err = console.RemoteJob(ctx, d, id); err != nil {
			display.Close()
			return err
		}
	}
	display.Close()
	for i := range jobs {
		if c.json {
			if err := c.encode(&jobs[i]); err != nil {
				return err
			}
		} else if err := c.show(&jobs[i]); err != nil {
			return err
		}
	}
	if code := console.JobsExit(jobs); code != console.ExitOK {
		return exitError(code)
	}
	return nil
}

// follow shows one job's stream to its end.
func (c *ctl) follow(ctx context.Context, d *client.Client, id string, display console.Progress) error {
	name := id
	if j, err := d.Get(ctx, id); err == nil {
		name = filepath.Base(cmp.Or(j.Spec.VMPath, j.Spec.Name, id))
	}
	for u, err := range d.Events(ctx, id, 0) {
		if err != nil {
			return err
		}
		if p := u.Progress; p != nil {
			bars := make([]console.Bar, len(p.Disks))
			for i, x := range p.Disks {
				bars[i] = console.Bar{Name: x.Name, Done: x.BytesRead, Total: x.BytesTotal, Rate: x.Rate, ETA: x.ETA}
			}
			display.Update(name, p.Phase, bars)
		}
	}
	return nil
}

func cancelJobs(c *ctl) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "cancel ID…", Short: "Cancel jobs; what they made is cleaned up", Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeJobs,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, id := range args {
				r, err := d.Cancel(ctx, id, reason)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s: %s\n", id, r.Outcome)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept with the job")
	return cmd
}

const maxJobFile = 1 << 20 // bytes, as the daemon takes

func submitJobs(c *ctl) *cobra.Command {
	var file string
	var wait bool
	var spec client.Spec
	cmd := &cobra.Command{
		Use:   "submit (--vm VM [flags] | --file FILE)",
		Short: "Submit jobs",
		Example: `  hyperctl jobs submit --vm /DC/vm/web-01 --format qcow2 --watch
  hyperctl jobs submit -f workflow.yaml --watch
  echo '{"vm_path": "/DC/vm/web-01"}' | hyperctl jobs submit --file -`,
		Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			s, err := c.submit(ctx, d, file, spec)
			if err != nil {
				return err
			}
			for _, issue := range s.Errors {
				_, _ = fmt.Fprintln(c.err, "refused: "+console.IssueText(issue))
			}
			if wait {
				return c.watch(ctx, d, s.JobIDs)
			}
			if c.json {
				return c.encode(s)
			}
			for _, id := range s.JobIDs {
				if _, err := fmt.Fprintln(c.out, id); err != nil {
					return err
				}
			}
			if s.Rejected > 0 {
				return exitError(console.ExitPartial)
			}
			return nil
		}),
	}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "", "JSON or YAML file with one job, many, or a workflow; - for standard input")
	f.StringVar(&spec.VMPath, "vm", "", "VM by inventory path, name, UUID or MoRef")
	f.StringVar(&spec.Format, "format", "", "ova (default), ovf, vmdk, qcow2, raw")
	f.StringVar(&spec.OutputPath, "output-path", "", "directory below a root of the daemon")
	f.StringVar(&spec.Priority, "priority", "", "critical, high, normal (default), low")
	f.StringVar(&spec.Transport, "transport", "", "auto (default), range, nfc")
	f.StringVarP(&spec.Profile, "profile", "p", "", "named defaults; flags given beside it win")
	f.StringVar(&spec.BandwidthLimit, "bandwidth-limit", "", "bytes per second: 50MB, 50MiB, a number, unlimited")
	f.BoolVarP(&wait, "watch", "w", false, "follow the jobs to their end")
	cmd.MarkFlagsOneRequired("file", "vm")
	cmd.MarkFlagsMutuallyExclusive("file", "vm")
	return cmd
}

func (c *ctl) submit(ctx context.Context, d *client.Client, file string, spec client.Spec) (client.Submitted, error) {
	text, err := c.jobsText(file, spec)
	if err != nil {
		return client.Submitted{}, err
	}
	return d.SubmitFile(ctx, text, "application/yaml") // JSON is YAML
}

// jobsText is the body of a submit: the file, or the job of the flags.
func (c *ctl) jobsText(file string, spec client.Spec) ([]byte, error) {
	if file == "" {
		return json.Marshal(spec)
	}
	return c.readFile(file)
}

// readFile reads what a --file flag names; - is standard input.
func (c *ctl) readFile(file string) ([]byte, error) {
	in := c.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxJobFile+1))
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	return text, nil
}

// completeJobs completes job ids in the shell.
func (c *ctl) completeJobs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	d, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	page, err := d.Query(cmd.Context(), client.Query{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, j := range page.Jobs {
		ids = append(ids, j.ID+"\t"+j.Spec.VMPath+" "+string(j.Status))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
