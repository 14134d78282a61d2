package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

func auditCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Read and verify the audit log",
		Long: `The audit log holds every change and every refused attempt. Its entries are the
leaves of a Merkle tree (RFC 9162), and the daemon signs checkpoints of it with
its signing.key. See docs/audit.md.`,
	}
	cmd.AddCommand(auditListCommand(c), auditExportCommand(c), auditCheckpointCommand(c), auditVerifyCommand(c), auditProveCommand(c), auditSinksCommand(c))
	return cmd
}

func auditListCommand(c *ctl) *cobra.Command {
	var (
		q     client.AuditQuery
		since time.Duration
		all   bool
	)
	cmd := &cobra.Command{
		Use: "list", Short: "Show who did what, newest first", Args: cobra.NoArgs,
		Example: "  hyperctl audit list --event access.denied --since 24h\n  hyperctl audit list --resource tenant:acme --json",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			var entries []client.AuditEntry
			for {
				page, err := d.Audit(ctx, q)
				if err != nil {
					return err
				}
				entries = append(entries, page.Items...)
				if q.Cursor = page.NextCursor; !all || q.Cursor == 0 {
					return c.showAudit(entries)
				}
			}
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Tenant, "tenant", "", "only of this tenant")
	f.StringVar(&q.Event, "event", "", "only this event, or with a dot at the end all that begin so")
	f.StringVar(&q.Actor, "actor", "", "only what this one did")
	f.StringVar(&q.Resource, "resource", "", "only what was done to this: a job's id, or TYPE:ID")
	f.DurationVar(&since, "since", 0, "only of this time, e.g. 12h")
	f.IntVar(&q.Limit, "limit", 0, "entries on a page (default 50)")
	f.BoolVar(&all, "all", false, "all pages")
	return cmd
}

func (c *ctl) showAudit(entries []client.AuditEntry) error {
	if c.json {
		for _, e := range entries { // lines, as sinks write them
			if err := json.NewEncoder(c.out).Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"POS", "TIME", "EVENT", "RESULT", "ACTOR", "FROM", "RESOURCE"}}
	for _, e := range entries {
		rows = append(rows, []string{strconv.FormatInt(e.Pos, 10), e.Timestamp.Format(time.RFC3339), e.Event, e.Result, e.Actor.ID, e.Actor.IP,
			e.Resource.Type + ":" + e.Resource.ID})
	}
	return console.Table(c.out, rows)
}

func auditExportCommand(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the log to a file that can be verified offline", Args: cobra.NoArgs,
		Example: "  hyperctl audit export -o audit.jsonl && hyperctl audit verify audit.jsonl --key signing.key.pub",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) (err error) {
			out := io.WriteCloser(writer{c.out})
			if file != "" && file != "-" {
				if out, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
					return err
				}
			}
			w := bufio.NewWriter(out)
			encode := json.NewEncoder(w)
			for l, err := range daemonLog(ctx, d) {
				if err != nil {
					return err
				}
				if err := encode.Encode(l); err != nil {
					return err
				}
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return out.Close()
		}),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "a new file (default: standard output)")
	return cmd
}

// writer is an output that is not ours to close.
type writer struct{ io.Writer }

// Close does nothing.
func (writer) Close() error { return nil }

// daemonLog reads the whole log from a daemon, and a checkpoint of more entries
// than it has, if there is one: then the end was cut off.
func daemonLog(ctx context.Context, d *client.Client) iter.Seq2[client.AuditLine, error] {
	return func(yield func(client.AuditLine, error) bool) {
		for last := int64(0); ; {
			before := last
			for l, err := range d.AuditLog(ctx, last) {
				if !yield(l, err) || err != nil {
					return
				}
				last = max(last, l.Pos)
			}
			p, err := d.AuditCheckpoint(ctx)
			if err != nil {
				yield(client.AuditLine{}, err)
				return
			}
			if p.Size <= last {
				return
			}
			if before > 0 && last == before {
				yield(client.AuditLine{Checkpoint: p.Note}, nil)
				return
			}
		}
	}
}

func auditCheckpointCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "checkpoint", Short: "Print the last signed checkpoint, to keep it elsewhere", Args: cobra.NoArgs,
		Example: "  hyperctl audit checkpoint > /mnt/elsewhere/hypervisord.checkpoint",
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			p, err := d.AuditCheckpoint(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(p)
			}
			_, err = fmt.Fprint(c.out, p.Note)
			return err
		}),
	}
}
