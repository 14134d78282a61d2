package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
)

func eventsCommand(c *ctl) *cobra.Command {
	var (
		q      client.LogQuery
		after  int64
		follow bool
	)
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happened to all jobs, and follow it", Args: cobra.NoArgs,
		Long: `Events shows the log of the tenant, a line for each event, the oldest first. With
--follow it goes on as events come, over broken connections too: no event is left
out or repeated. The first column is the event's place in the log: --after begins
behind it.`,
		Example: "  hyperctl events --follow --kind 'job.*' --label team=web\n  hyperctl events --after 4711 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Once = !follow; q.Once || cmd.Flags().Changed("after") {
				q.After = &after
			}
			return c.do(func(ctx context.Context, d *client.Client, _ []string) error { return c.events(ctx, d, q) })(cmd, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on")
	f.Int64Var(&after, "after", 0, "begin behind this place in the log (with --follow: its end)")
	f.StringSliceVar(&q.Kinds, "kind", nil, "only these kinds: job.completed, or 'job.*'")
	f.StringSliceVar(&q.Jobs, "job", nil, "only of these jobs, by id")
	f.StringToStringVar(&q.Labels, "label", nil, "only of jobs with these labels (NAME=VALUE)")
	f.BoolVar(&q.Progress, "progress", false, "the progress of running jobs, too")
	return cmd
}

func (c *ctl) events(ctx context.Context, d *client.Client, q client.LogQuery) error {
	lines := json.NewEncoder(c.out)
	for u, err := range d.Log(ctx, q) {
		if err != nil {
			return err
		}
		if err := c.event(lines, u); err != nil {
			return err
		}
	}
	return nil
}

// event writes one line.
func (c *ctl) event(lines *json.Encoder, u client.LogUpdate) error {
	switch e, p := u.Event, u.Progress; {
	case c.json && e != nil:
		return lines.Encode(e)
	case c.json:
		return lines.Encode(map[string]any{"job_id": u.JobID, "progress": p})
	case e != nil:
		what := cmp.Or(e.Data.Reason, e.Data.Step)
		if e.Data.Error != nil {
			what = e.Data.Error.Code + " " + e.Data.Error.Message
		}
		_, err := fmt.Fprintf(c.out, "%-8d %s  %-22s %-36s  %s  %s\n",
			e.Pos, e.Time.Local().Format(time.DateTime), e.Kind, cmp.Or(e.JobID, e.Data.Subject), e.Actor, what)
		return err
	default:
		_, err := fmt.Fprintf(c.out, "%-8s %s  %-22s %-36s  %.1f %%\n", "-", p.UpdatedAt.Local().Format(time.DateTime), p.Phase, u.JobID, p.Percent)
		return err
	}
}
