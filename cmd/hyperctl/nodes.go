package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func nodesCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "nodes", Short: "List the daemons that share the queue", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			nodes, err := d.Nodes(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(nodes)
			}
			rows := [][]string{{"ID", "STATE", "WORKERS", "VERSION", "URL", "LAST SEEN"}}
			for _, n := range nodes {
				rows = append(rows, []string{
					n.ID, n.State, fmt.Sprintf("%d of %d at work", n.Busy, n.Workers), n.Version, n.URL,
					max(0, time.Since(n.LastSeen)).Round(time.Second).String() + " ago",
				})
			}
			return console.Table(c.out, rows)
		}),
	}
}
