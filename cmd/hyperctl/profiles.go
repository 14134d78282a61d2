package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/job"
)

func profilesCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{
		Use: "profiles", Short: "Named defaults for jobs",
		Long: `A profile holds defaults that a job takes by "profile: ID". Files in the daemon's
profiles_dir are there for all tenants and read-only; a tenant's own are set here.`,
	}
	cmd.AddCommand(listProfiles(c), getProfile(c), setProfile(c), deleteProfiles(c), renderProfile(c))
	return cmd
}

func listProfiles(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List profiles", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			all, err := d.Profiles(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(all)
			}
			rows := [][]string{{"ID", "NAME", "EXTENDS", "SOURCE", "NOTE"}}
			for i := range all {
				rows = append(rows, []string{all[i].ID, all[i].Name, all[i].Extends, all[i].Source, all[i].Problem})
			}
			return console.Table(c.out, rows)
		}),
	}
}

func getProfile(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Print a profile as it was written", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeProfiles,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			p, err := d.Profile(ctx, args[0])
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(p)
			}
			_, err = fmt.Fprintln(c.out, strings.TrimRight(p.Text, "\n"))
			return err
		}),
	}
}

func setProfile(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "set ID -f FILE", Short: "Make or replace a profile", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeProfiles,
		Example: "  hyperctl profiles set nightly -f nightly.yaml",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			p, err := d.PutProfile(ctx, args[0], text, "application/yaml") // JSON is YAML
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(p)
			}
			_, err = fmt.Fprintf(c.out, "%s: set\n", p.ID)
			return err
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "YAML or JSON file; - for standard input")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func deleteProfiles(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID…", Short: "Delete profiles; jobs keep what they took from them", Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeProfiles,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, id := range args {
				_, err := d.DeleteProfile(ctx, id)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s: deleted\n", id)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

func renderProfile(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "render ID [-f JOB]", Short: "Show what a job would be with a profile", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeProfiles,
		Long: "Render merges the built-in defaults, the profile with all that it extends, and the\njob's own keys, as a submit does. Nothing is stored.",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var spec client.Spec
			if file != "" {
				var err error
				if spec, err = c.readSpec(file); err != nil {
					return err
				}
			}
			r, err := d.RenderProfile(ctx, args[0], spec)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(r)
			}
			return c.showRendered(&r)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "YAML or JSON file with one job; - for standard input")
	return cmd
}

// readSpec reads one job from a file.
func (c *ctl) readSpec(file string) (client.Spec, error) {
	text, err := c.readFile(file)
	if err != nil {
		return client.Spec{}, err
	}
	specs, err := job.DecodeSpecs(text, "application/yaml")
	if err != nil {
		return client.Spec{}, err
	}
	if len(specs) != 1 {
		return client.Spec{}, fmt.Errorf("--file: it holds %d jobs, not one", len(specs))
	}
	jobs, err := console.Convert[client.Spec](specs)
	if err != nil {
		return client.Spec{}, err
	}
	return jobs[0], nil
}

func (c *ctl) showRendered(r *client.Rendered) error {
	jobs, err := console.Convert[map[string]any]([]client.Spec{r.Spec})
	if err != nil {
		return err
	}
	text, err := yaml.Dump(jobs[0])
	if err != nil {
		return fmt.Errorf("show the job: %w", err)
	}
	_, err = fmt.Fprintf(c.out, "# %s\n# %s\n%s", strings.Join(r.Chain, " → "), r.Digest, text)
	return err
}

// completeProfiles completes profile ids in the shell.
func (c *ctl) completeProfiles(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	d, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := d.Profiles(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for i := range all {
		ids = append(ids, all[i].ID+"\t"+all[i].Name)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
