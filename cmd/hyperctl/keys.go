package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func keysCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make, rotate and revoke API keys"}
	cmd.AddCommand(listKeys(c), createKey(c), rotateKey(c), revokeKeys(c))
	return cmd
}

func listKeys(c *ctl) *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use: "list", Short: "List API keys; dead ones of the last 90 days too", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			keys, err := d.Keys(ctx, of)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(keys)
			}
			rows := [][]string{{"ID", "NAME", "PREFIX", "ROLE", "LAST USED", "EXPIRES", "STATE"}}
			for i := range keys {
				rows = append(rows, keyRow(&keys[i], time.Now()))
			}
			return console.Table(c.out, rows)
		}),
	}
	tenantFlag(cmd, &of)
	return cmd
}

func tenantFlag(cmd *cobra.Command, of *string) {
	cmd.Flags().StringVar(of, "tenant", "", "tenant by id (default: that of your key)")
}

func keyRow(k *client.APIKey, now time.Time) []string {
	state := "active"
	switch {
	case k.RevokedAt != nil:
		state = "revoked"
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		state = "expired"
	}
	role := k.Role
	if len(k.Scopes) > 0 {
		role += fmt.Sprint(" ", k.Scopes)
	}
	return []string{k.ID, k.Name, k.Prefix + "…", role, when(k.LastUsedAt, "never"), when(k.ExpiresAt, "never"), state}
}

func when(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.Local().Format(time.DateTime)
}

func createKey(c *ctl) *cobra.Command {
	var (
		of      string
		r       client.KeyRequest
		expires time.Duration
	)
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make an API key; it is shown once", Args: cobra.ExactArgs(1),
		Long: `Create makes an API key and writes it to standard output: keep it, it is not
shown again. You can give only permissions that your own key has.`,
		Example: "  hyperctl keys create ci --role operator --expires 2160h > ci.key\n  hyperctl keys create billing --tenant acme --role admin --scope tenant:read",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			r.Name = args[0]
			if expires != 0 {
				at := time.Now().Add(expires).UTC()
				r.ExpiresAt = &at
			}
			made, err := d.CreateKey(ctx, of, r)
			if err != nil {
				return err
			}
			return c.showNew(made)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&r.Role, "role", "", "viewer, operator, admin, platform")
	f.StringArrayVar(&r.Scopes, "scope", nil, "only this permission of the role, e.g. job:submit; repeat for several")
	f.DurationVar(&expires, "expires", 0, "how long the key lives, e.g. 2160h (default: for ever)")
	tenantFlag(cmd, &of)
	_ = cmd.MarkFlagRequired("role")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(
		[]string{"viewer", "operator", "admin", "platform"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// showNew writes the key alone to standard output, so that it can go to a file.
func (c *ctl) showNew(made client.NewKey) error {
	if c.json {
		return c.encode(made)
	}
	if _, err := fmt.Fprintf(c.err, "key %s (%s, %s of %s); it is not shown again:\n", made.Key.ID, made.Key.Name, made.Key.Role, made.Key.Tenant); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, made.Secret)
	return err
}

func rotateKey(c *ctl) *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use: "rotate ID", Short: "Make the key that follows one; the old one ends after the overlap", Args: cobra.ExactArgs(1),
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			made, err := d.RotateKey(ctx, args[0], overlap)
			if err != nil {
				return err
			}
			return c.showNew(made)
		}),
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old key goes on, at most 720h")
	return cmd
}

func revokeKeys(c *ctl) *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use: "revoke ID…", Short: "End API keys at once", Args: cobra.MinimumNArgs(1),
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, id := range args {
				k, err := d.RevokeKey(ctx, of, id)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s (%s): revoked\n", k.ID, k.Name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
	tenantFlag(cmd, &of)
	return cmd
}
