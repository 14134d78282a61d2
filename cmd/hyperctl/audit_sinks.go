package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func auditSinksCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "sinks", Short: "Show how far files, syslog, OTLP and S3 have the log", Args: cobra.NoArgs,
		Long: `The daemon carries its audit log to the sinks of its configuration (audit.sinks),
each from a durable place of its own. A sink that fails gets everything once it
takes it again.`,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			all, err := d.AuditSinks(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(all)
			}
			rows := [][]string{{"NAME", "KIND", "STATE", "POS", "LAG", "LAST TAKEN", "LAST ERROR"}}
			for _, s := range all {
				rows = append(rows, sinkRow(s))
			}
			return console.Table(c.out, rows)
		}),
	}
}

func sinkRow(s client.AuditSink) []string {
	lag, taken := "-", "never"
	if s.LagEntries > 0 {
		lag = strconv.FormatInt(s.LagEntries, 10) + " for " + time.Duration(s.LagSeconds*float64(time.Second)).Round(time.Second).String()
	}
	if s.LastTakenAt != nil {
		taken = s.LastTakenAt.Local().Format(time.DateTime)
	}
	return []string{s.Name, s.Kind, s.State, strconv.FormatInt(s.Pos, 10), lag, taken, s.LastError}
}
