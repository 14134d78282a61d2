package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func tenantsCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{Use: "tenants", Short: "Tenants, their limits and what they used"}
	cmd.AddCommand(listTenants(c), createTenant(c), setTenant(c), tenantUsage(c),
		oneTenant(c, "get", "Show one tenant", (*client.Client).Tenant),
		oneTenant(c, "pause", "Start nothing of a tenant; what runs goes on", (*client.Client).PauseTenant),
		oneTenant(c, "resume", "Start a tenant's jobs again", (*client.Client).ResumeTenant),
		oneTenant(c, "delete", "Revoke a tenant's keys, cancel what waits, and delete it when its running jobs have ended", (*client.Client).DeleteTenant))
	return cmd
}

func listTenants(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tenants that you may see", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			all, err := d.Tenants(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(all)
			}
			rows := [][]string{{"ID", "NAME", "STATE", "WEIGHT", "RUNNING", "QUEUED", "STORAGE GB", "MBIT/S", "STORED"}}
			for i := range all {
				t := &all[i]
				rows = append(rows, []string{
					t.ID, t.Name, tenantState(t), strconv.Itoa(t.Weight), limit(t.MaxConcurrentJobs), limit(t.MaxQueuedJobs),
					limit(t.MaxStorageGB), limit(t.MaxBandwidthMbps), console.Bytes(t.StoredBytes),
				})
			}
			return console.Table(c.out, rows)
		}),
	}
}

func tenantState(t *client.Tenant) string {
	if t.Paused && t.State == "active" {
		return "paused"
	}
	return t.State
}

// limit shows a limit; 0 means none.
func limit(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func (c *ctl) showTenant(t *client.Tenant) error {
	if c.json {
		return c.encode(t)
	}
	return console.Table(c.out, [][]string{
		{"ID", t.ID},
		{"NAME", t.Name},
		{"STATE", tenantState(t)},
		{"WEIGHT", strconv.Itoa(t.Weight)},
		{"MAX CONCURRENT JOBS", limit(t.MaxConcurrentJobs)},
		{"MAX QUEUED JOBS", limit(t.MaxQueuedJobs)},
		{"MAX STORAGE GB", limit(t.MaxStorageGB)},
		{"MAX BANDWIDTH MBIT/S", limit(t.MaxBandwidthMbps)},
		{"STORED", console.Bytes(t.StoredBytes)},
		{"CREATED", t.CreatedAt.Local().Format(time.DateTime)},
	})
}

// oneTenant is a command that does one thing with one tenant and shows it.
func oneTenant(c *ctl, verb, short string, do func(*client.Client, context.Context, string) (client.Tenant, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			t, err := do(d, ctx, args[0])
			if err != nil {
				return err
			}
			return c.showTenant(&t)
		}),
	}
}

// limitFlags are the flags that set a tenant; change returns those that were
// given.
func limitFlags(f *pflag.FlagSet) (change func() client.TenantChange) {
	name := f.String("name", "", "for people")
	weight := f.Int("weight", 1, "share of the workers against other tenants, 1 to 1000")
	concurrent := f.Int64("max-concurrent-jobs", 0, "more jobs wait; 0: no limit")
	queued := f.Int64("max-queued-jobs", 0, "more jobs are refused, at most 100000; 0: no limit")
	storage := f.Int64("max-storage-gb", 0, "once so much is stored, jobs are refused; 0: no limit")
	bandwidth := f.Int64("max-bandwidth-mbps", 0, "in 10^6 bits per second; 0: no limit")
	return func() client.TenantChange {
		return client.TenantChange{
			Name: given(f, "name", name), Weight: given(f, "weight", weight),
			MaxConcurrentJobs: given(f, "max-concurrent-jobs", concurrent), MaxQueuedJobs: given(f, "max-queued-jobs", queued),
			MaxStorageGB: given(f, "max-storage-gb", storage), MaxBandwidthMbps: given(f, "max-bandwidth-mbps", bandwidth),
		}
	}
}

func given[T any](f *pflag.FlagSet, name string, v *T) *T {
	if !f.Changed(name) {
		return nil
	}
	return v
}

func createTenant(c *ctl) *cobra.Command {
	var change func() client.TenantChange
	cmd := &cobra.Command{
		Use: "create ID [flags]", Short: "Make a tenant", Args: cobra.ExactArgs(1),
		Example: "  hyperctl tenants create acme --max-concurrent-jobs 4 --max-queued-jobs 1000\n  hyperctl keys create first --tenant acme --role admin > acme.key",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			t, err := d.CreateTenant(ctx, client.TenantRequest{ID: args[0], TenantChange: change()})
			if err != nil {
				return err
			}
			return c.showTenant(&t)
		}),
	}
	change = limitFlags(cmd.Flags())
	return cmd
}

func setTenant(c *ctl) *cobra.Command {
	var change func() client.TenantChange
	cmd := &cobra.Command{
		Use: "set ID [flags]", Short: "Change a tenant; what is not named stays", Args: cobra.ExactArgs(1),
	}
	change = limitFlags(cmd.Flags())
	stored := cmd.Flags().Int64("stored-bytes", 0, "correct the account after exports were removed by hand")
	cmd.RunE = c.do(func(ctx context.Context, d *client.Client, args []string) error {
		to := change()
		to.StoredBytes = given(cmd.Flags(), "stored-bytes", stored)
		t, err := d.ChangeTenant(ctx, args[0], to)
		if err != nil {
			return err
		}
		return c.showTenant(&t)
	})
	return cmd
}

func tenantUsage(c *ctl) *cobra.Command {
	var (
		from, to string
		asCSV    bool
	)
	cmd := &cobra.Command{
		Use: "usage ID", Short: "Show what a tenant used, by month (UTC)", Args: cobra.ExactArgs(1),
		Example: "  hyperctl tenants usage acme --from 2026-01 --to 2026-03 --csv",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			if asCSV {
				text, err := d.UsageCSV(ctx, args[0], from, to)
				if err != nil {
					return err
				}
				_, err = c.out.Write(text)
				return err
			}
			report, err := d.Usage(ctx, args[0], from, to)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(report)
			}
			rows := [][]string{{"MONTH", "COMPLETED", "FAILED", "CANCELLED", "READ", "TRANSFERRED", "STORED", "WORKER TIME"}}
			for _, m := range report.Months {
				rows = append(rows, []string{
					m.Month, strconv.FormatInt(m.Completed, 10), strconv.FormatInt(m.Failed, 10), strconv.FormatInt(m.Cancelled, 10),
					console.Bytes(m.BytesRead), console.Bytes(m.BytesTransferred), console.Bytes(m.BytesStored),
					fmt.Sprint(time.Duration(m.Seconds * float64(time.Second)).Round(time.Second)),
				})
			}
			return console.Table(c.out, rows)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "first month, as 2026-01")
	f.StringVar(&to, "to", "", "last month")
	f.BoolVar(&asCSV, "csv", false, "write CSV")
	return cmd
}
