package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
)

func jobBandwidth(c *ctl) *cobra.Command {
	var windows []string
	cmd := &cobra.Command{
		Use: "bandwidth ID RATE", Short: "Change how fast a job may read from its source", Args: cobra.ExactArgs(2), ValidArgsFunction: c.completeJobs,
		Long: "Bandwidth replaces the limit of a job and its windows. A job that runs goes by it\nwithin two seconds. Limits of the tenant and of the daemon hold beside it.",
		Example: `  hyperctl jobs bandwidth 0199… 20MB
  hyperctl jobs bandwidth 0199… unlimited --window "Mon-Fri 08:00-18:00 = 5MB"`,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			j, err := d.SetBandwidth(ctx, args[0], args[1], windows...)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(j)
			}
			_, err = fmt.Fprintf(c.out, "%s: %s\n", j.ID, strings.Join(append([]string{j.Spec.BandwidthLimit}, j.Spec.BandwidthWindows...), "; "))
			return err
		}),
	}
	cmd.Flags().StringArrayVar(&windows, "window", nil, "hours with another limit; repeat for several")
	return cmd
}
