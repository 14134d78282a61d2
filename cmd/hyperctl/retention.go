package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func retentionCommand(c *ctl) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "retention", Short: "Forget old jobs and artifacts now", Args: cobra.NoArgs,
		Long: `Retention forgets jobs and removes outputs whose time is over by the daemon's
configuration (retention.jobs, retention.artifacts). The daemon does it each hour
by itself. An output that is not exactly what its receipt lists is left alone.`,
		Example: "  hyperctl retention --dry-run   # what would go, and why",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			r, err := d.Retention(ctx, dry)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(r)
			}
			return c.showRetention(&r)
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing, tell what would be removed")
	return cmd
}

func (c *ctl) showRetention(r *client.RetentionReport) error {
	rows := [][]string{{"", "JOB", "VM", "SIZE", "PATH", "REASON"}}
	list := func(what string, all []client.RetainedArtifact) {
		for _, a := range all {
			rows = append(rows, []string{what, a.JobID, a.VMPath, console.Bytes(a.Bytes), a.Path, a.Reason})
		}
	}
	list("remove", r.Removed)
	list("KEEP", r.Kept)
	if len(rows) > 1 {
		if err := console.Table(c.out, rows); err != nil {
			return err
		}
	}
	done := "forgotten"
	if r.DryRun {
		done = "would be forgotten"
	}
	_, err := fmt.Fprintf(c.out, "%d artifacts (%s) and %d jobs %s, %d artifacts are left alone\n",
		r.Artifacts, console.Bytes(r.Bytes), r.Jobs, done, r.KeptCount)
	if err == nil && r.More {
		_, err = fmt.Fprintln(c.out, "there is more to do: another pass follows")
	}
	return err
}
