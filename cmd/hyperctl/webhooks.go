package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func webhooksCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhooks", Short: "Tell other systems of events",
		Long: `A webhook posts events to a URL, signed by the Standard Webhooks specification:

  name: ops
  url: https://hooks.example.com/T0/secret
  events: [job.completed, job.failed]   # kinds, * and ? are wild
  vms: ["/DC/vm/web-*"]                 # only of these VMs
  labels: {team: web}                   # only of jobs with these labels
  format: standard                      # or cloudevents, slack, teams, template
  retry:                                # absent: nine retries over 75 hours
    max_retries: 5
    initial_delay: 10s
    max_delay: 10m
    backoff_factor: 2
    retry_on_status: [429, 500, 502, 503, 504]
  circuit_breaker: {failure_threshold: 5, success_threshold: 2, timeout: 1m}

The URL is read from a file, for it may hold a token. The signing secret is shown
once, when the webhook is created or its secret is rotated.`,
	}
	cmd.AddCommand(listWebhooks(c), getWebhook(c), createWebhook(c), setWebhook(c), deleteWebhooks(c),
		changeWebhook(c, "enable", "Let webhooks send again, what waits too", (*client.Client).EnableWebhook),
		changeWebhook(c, "disable", "Stop webhooks; what waits is kept", (*client.Client).DisableWebhook),
		rotateWebhook(c), testWebhook(c), replayWebhook(c), listDeliveries(c), getDelivery(c), resendDeliveries(c))
	return cmd
}

func listWebhooks(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List webhooks", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			all := []client.Webhook{}
			rows := [][]string{{"NAME", "HOST", "EVENTS", "BREAKER", "WAIT", "LAST SUCCESS", "NOTE"}}
			for w, err := range d.Webhooks(ctx) {
				if err != nil {
					return err
				}
				all = append(all, w)
				rows = append(rows, []string{
					w.Spec.Name, webhookHost(&w), strings.Join(w.Spec.Events, " "), w.Health.Breaker, strconv.FormatInt(w.Pending, 10),
					localTime(w.Health.LastSuccess), webhookNote(&w),
				})
			}
			if c.json {
				return c.encode(all)
			}
			return console.Table(c.out, rows)
		}),
	}
}

func webhookHost(w *client.Webhook) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(w.Spec.URL, "https://"), "http://"), "/[hidden]")
}

func webhookNote(w *client.Webhook) string {
	switch h := &w.Health; {
	case w.Problem != "":
		return w.Problem
	case !w.Enabled:
		return "disabled: " + w.DisabledReason
	case h.Breaker == "open" && h.OpenUntil != nil:
		return fmt.Sprintf("%d failures (%s); tried again at %s", h.Failures, attemptError(h.LastStatus, h.LastError), localTime(h.OpenUntil))
	case h.HoldUntil != nil && h.HoldUntil.After(time.Now()):
		return "asked to wait until " + localTime(h.HoldUntil)
	case h.Failures > 0:
		return fmt.Sprintf("%d failures (%s)", h.Failures, attemptError(h.LastStatus, h.LastError))
	}
	return ""
}

// attemptError says how an attempt failed.
func attemptError(status int, class string) string {
	if status != 0 {
		return strings.TrimSpace(fmt.Sprintf("%d %s", status, class))
	}
	return class
}

func getWebhook(c *ctl) *cobra.Command {
	var spec bool
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show a webhook", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeWebhooks,
		Example: "  hyperctl webhooks get ops --spec > ops.json   # to edit, for `hyperctl webhooks set`; the URL stays",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			w, err := d.Webhook(ctx, args[0])
			switch {
			case err != nil:
				return err
			case spec:
				return c.encode(w.Spec)
			case c.json:
				return c.encode(w)
			}
			return c.showWebhook(&w)
		}),
	}
	cmd.Flags().BoolVar(&spec, "spec", false, "only the definition, as JSON")
	return cmd
}

func (c *ctl) showWebhook(w *client.Webhook) error {
	rows := [][]string{
		{"ID", w.ID},
		{"NAME", w.Spec.Name},
		{"URL", w.Spec.URL},
		{"EVENTS", strings.Join(w.Spec.Events, " ")},
		{"FORMAT", w.Spec.Format},
		{"BREAKER", w.Health.Breaker},
		{"WAIT", strconv.FormatInt(w.Pending, 10)},
		{"LAST ATTEMPT", localTime(w.Health.LastAttempt)},
		{"LAST SUCCESS", localTime(w.Health.LastSuccess)},
	}
	if note := webhookNote(w); note != "" {
		rows = append(rows, []string{"NOTE", note})
	}
	for _, s := range w.Secrets {
		text := s.ID + "  since " + localTime(&s.CreatedAt)
		if s.ExpiresAt != nil {
			text += ", until " + localTime(s.ExpiresAt)
		}
		rows = append(rows, []string{"SECRET", text})
	}
	return console.Table(c.out, rows)
}

func createWebhook(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "create --file FILE", Short: "Create a webhook; its signing secret is shown once", Args: cobra.NoArgs,
		Example: "  hyperctl webhooks create -f ops.yaml > ops.secret",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			made, err := d.CreateWebhookFile(ctx, text, "application/yaml") // JSON is YAML
			if err != nil {
				return err
			}
			return c.showSecret(&made)
		}),
	}
	webhookFile(cmd, &file)
	return cmd
}

// showSecret writes the secret alone to standard output, so that it can go to a
// file.
func (c *ctl) showSecret(made *client.NewWebhook) error {
	if c.json {
		return c.encode(made)
	}
	if _, err := fmt.Fprintf(c.err, "webhook %s; its signing secret is not shown again:\n", made.Webhook.Spec.Name); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, made.Secret)
	return err
}

func setWebhook(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "set NAME --file FILE", Short: "Replace the definition of a webhook; without a url that stays", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			w, err := d.SetWebhookFile(ctx, args[0], text, "application/yaml")
			if err != nil {
				return err
			}
			return c.webhookDone(&w)
		}),
	}
	webhookFile(cmd, &file)
	return cmd
}

func webhookFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "JSON or YAML file with the webhook; - for standard input")
	_ = cmd.MarkFlagRequired("file")
}

func (c *ctl) webhookDone(w *client.Webhook) error {
	if c.json {
		return c.encode(w)
	}
	state := "enabled"
	if !w.Enabled {
		state = "disabled"
	}
	_, err := fmt.Fprintf(c.out, "%s: %s\n", w.Spec.Name, state)
	return err
}

// changeWebhook makes the command for a change that needs no more than a name.
func changeWebhook(c *ctl, verb, short string, change func(*client.Client, context.Context, string) (client.Webhook, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME…", Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, name := range args {
				w, err := change(d, ctx, name)
				if err == nil {
					err = c.webhookDone(&w)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

func deleteWebhooks(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME…", Short: "Delete webhooks and what waits", Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			var errs []error
			for _, name := range args {
				err := d.DeleteWebhook(ctx, name)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s: deleted\n", name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

func rotateWebhook(c *ctl) *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Make a new signing secret; the others sign, too, until the end of the overlap", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeWebhooks,
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			made, err := d.RotateWebhook(ctx, args[0], overlap)
			if err != nil {
				return err
			}
			return c.showSecret(&made)
		}),
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the other secrets sign, too, at most 168h")
	return cmd
}

// completeWebhooks completes names of webhooks in the shell.
func (c *ctl) completeWebhooks(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	d, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for w, err := range d.Webhooks(cmd.Context()) {
		if err != nil {
			break
		}
		names = append(names, w.Spec.Name+"\t"+webhookHost(&w))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
