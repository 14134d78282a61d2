package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func explainJob(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "explain ID", Short: "Tell why a job waits and what would start it now", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeJobs,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			e, err := d.Explain(ctx, args[0])
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(e)
			}
			return c.showExplanation(e)
		}),
	}
}

func (c *ctl) showExplanation(e client.Explanation) error {
	rows := [][]string{{"STATUS", string(e.Status)}, {"WHY", console.Printable(e.Message)}}
	if e.Reason == "" {
		return console.Table(c.out, rows)
	}
	x := e.Detail
	limit := "no limit"
	if x.TenantLimit > 0 {
		limit = fmt.Sprintf("%d allowed", x.TenantLimit)
	}
	ahead := strconv.Itoa(x.Ahead)
	if x.AheadIsLeast {
		ahead = "at least " + ahead
	}
	rows = append(rows,
		[]string{"REASON", e.Reason},
		[]string{"WORKERS", fmt.Sprintf("%d of %d at work", x.WorkersBusy, x.WorkersSize)},
		[]string{"TENANT", fmt.Sprintf("%d running, %s", x.TenantRunning, limit)},
		[]string{"AHEAD", ahead})
	if h := x.Host; h != nil {
		rows = append(rows, hostRow(h))
	}
	if e.EstimatedStart != nil {
		rows = append(rows, []string{"ESTIMATED START", e.EstimatedStart.Local().Format(time.DateTime)})
	}
	if e.NextClaim {
		rows = append(rows, []string{"TO START IT", "nothing: it is about to start"})
	}
	for i, r := range e.Remedy {
		name := "TO START IT"
		if i > 0 {
			name = "AND"
		}
		rows = append(rows, []string{name, remedyText(e.JobID, r)})
	}
	return console.Table(c.out, rows)
}

func hostRow(h *client.HostWait) []string {
	text := strings.Join(append([]string{fmt.Sprintf("%s: %d of %d exports", console.Printable(h.Name), h.Held, h.Limit)}, h.Jobs...), ", ")
	if h.Others > 0 {
		text += fmt.Sprintf(", %d of other tenants", h.Others)
	}
	return []string{"HOST", text}
}

// remedyText says how an action is done.
func remedyText(id string, r client.Remedy) string {
	switch r.Action {
	case "resume", "retry":
		return "hyperctl jobs " + r.Action + " " + id
	case "priority":
		return fmt.Sprintf("hyperctl jobs priority --to %s %s", r.To, id)
	case "wait_until":
		return "wait until " + r.At.Local().Format(time.DateTime)
	case "resume_tenant":
		return "resume the tenant " + console.Printable(r.Tenant)
	case "raise_limit":
		return fmt.Sprintf("raise max_concurrent_jobs of the tenant %s to %d", console.Printable(r.Tenant), r.N)
	case "raise_host_limit":
		return fmt.Sprintf("an export from %s that ends, or vsphere.max_exports_per_host: %d", console.Printable(r.Host), r.N)
	case "add_workers":
		return fmt.Sprintf("workers that become free, or more of them: %d", r.N)
	}
	return r.Action
}
