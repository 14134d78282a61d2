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
	"github.com/hypersdk/hypersdk/internal/fault"
)

// shownDeliveries is how many deliveries a list shows unless told.
const shownDeliveries = 50

func listDeliveries(c *ctl) *cobra.Command {
	var (
		status string
		limit  int
	)
	cmd := &cobra.Command{
		Use: "deliveries NAME", Short: "List the deliveries of a webhook, the latest first", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeWebhooks,
		Example: "  hyperctl webhooks deliveries ops --status dead   # what nobody tries again",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			all := []client.Delivery{}
			rows := [][]string{{"ID", "TYPE", "STATUS", "ATTEMPTS", "LAST", "CREATED", "NEXT"}}
			for v, err := range d.Deliveries(ctx, args[0], status) {
				if err != nil {
					return err
				}
				if len(all) == limit {
					break
				}
				all = append(all, v)
				rows = append(rows, []string{
					v.ID, v.Kind, v.Status, strconv.Itoa(v.Attempts), attemptError(v.LastStatus, v.LastError), localTime(&v.CreatedAt), localTime(v.NextAt),
				})
			}
			if c.json {
				return c.encode(all)
			}
			return console.Table(c.out, rows)
		}),
	}
	cmd.Flags().StringVar(&status, "status", "", "only pending, delivered or dead ones")
	cmd.Flags().IntVar(&limit, "limit", shownDeliveries, "how many")
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions([]string{"pending", "delivered", "dead"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func getDelivery(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "delivery NAME ID", Short: "Show a delivery with its payload and its attempts", Args: cobra.ExactArgs(2), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			v, err := d.Delivery(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return c.showDelivery(&v)
		}),
	}
}

func (c *ctl) showDelivery(v *client.Delivery) error {
	if c.json {
		return c.encode(v)
	}
	rows := [][]string{{"ID", v.ID}, {"TYPE", v.Kind}, {"STATUS", v.Status}, {"CREATED", localTime(&v.CreatedAt)}}
	if v.NextAt != nil {
		rows = append(rows, []string{"NEXT", localTime(v.NextAt)})
	}
	for _, a := range v.Log {
		rows = append(rows, []string{fmt.Sprintf("ATTEMPT %d", a.Number), fmt.Sprintf("%s  %.3fs  %s", localTime(&a.At), a.Duration, attemptError(a.Status, a.Error))})
	}
	return console.Table(c.out, append(rows, []string{"PAYLOAD", v.Payload}))
}

func resendDeliveries(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "resend NAME ID…", Short: "Send deliveries again, with the same ids", Args: cobra.MinimumNArgs(2), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, id := range args[1:] {
				v, err := d.ResendDelivery(ctx, args[0], id)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s: %s\n", v.ID, v.Status)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

func replayWebhook(c *ctl) *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use: "replay NAME --since TIME", Short: "Send past events again, with the ids that they had", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeWebhooks,
		Example: "  hyperctl webhooks replay ops --since 6h\n  hyperctl webhooks replay ops --since 2026-03-01T22:00:00Z",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			at, err := pastTime(since, time.Now())
			if err != nil {
				return err
			}
			n, err := d.ReplayWebhook(ctx, args[0], at)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(map[string]int{"deliveries": n})
			}
			_, err = fmt.Fprintf(c.out, "%s: %d deliveries\n", args[0], n)
			return err
		}),
	}
	cmd.Flags().StringVar(&since, "since", "", "a time (RFC 3339), or how long ago (6h)")
	_ = cmd.MarkFlagRequired("since")
	return cmd
}

// pastTime reads a time, or how long ago it was.
func pastTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, fault.Wrap(err, fault.Invalid, "HX-CLI-010", fmt.Sprintf("%.50q is no time", text), "write 2026-03-01T22:00:00Z, or 6h for six hours ago")
}

func testWebhook(c *ctl) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Send a test and tell what came of it", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			v, err := d.TestWebhook(ctx, args[0])
			if err == nil {
				v, err = settled(ctx, d, args[0], v, wait)
			}
			if err != nil {
				return err
			}
			if err := c.showDelivery(&v); err != nil {
				return err
			}
			if v.Status != "delivered" {
				return exitError(console.ExitDestination)
			}
			return nil
		}),
	}
	cmd.Flags().DurationVar(&wait, "wait", 90*time.Second, "how long to wait for the answer")
	return cmd
}

// settled waits until a delivery does not wait any more, or for so long.
func settled(ctx context.Context, d *client.Client, name string, v client.Delivery, wait time.Duration) (client.Delivery, error) {
	const every = 300 * time.Millisecond
	for end := time.Now().Add(wait); v.Status == "pending" && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return v, context.Cause(ctx)
		case <-time.After(every):
		}
		next, err := d.Delivery(ctx, name, v.ID)
		if err != nil {
			return v, err
		}
		v = next
	}
	return v, nil
}
