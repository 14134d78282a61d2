package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store"
)

// proofFlags are what a verification trusts.
type proofFlags struct{ keys, checkpoints []string }

func (p *proofFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&p.keys, "key", nil, "public key of a node (signing.key.pub); repeat it for several nodes")
	cmd.Flags().StringSliceVar(&p.checkpoints, "checkpoint", nil, "a checkpoint that was kept elsewhere; may be repeated")
}

// read reads the keys and the checkpoints that were kept.
func (p *proofFlags) read() (keys audit.Keys, anchors []audit.Checkpoint, err error) {
	if len(p.keys) == 0 {
		return nil, nil, fault.New(fault.Invalid, "HX-AUDIT-015", "no key is given: without one nothing is proven", "give the daemon's signing.key.pub with --key")
	}
	for _, path := range p.keys {
		key, err := receipt.ReadPublicKey(path)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key)
	}
	for _, path := range p.checkpoints {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.NotFound, "HX-AUDIT-016", "the checkpoint "+path+" cannot be read", "")
		}
		c, err := keys.Open(string(text))
		if err != nil {
			return nil, nil, err
		}
		anchors = append(anchors, c)
	}
	return keys, anchors, nil
}

func auditVerifyCommand(c *ctl) *cobra.Command {
	var (
		p                                proofFlags
		database, postgres, passwordFile string
	)
	cmd := &cobra.Command{
		Use: "verify [FILE]", Short: "Check that no entry was edited, deleted, moved or cut off",
		Long: `Verify reads an exported file, a database, or the daemon's log if none is named,
recomputes the tree and compares it with what the nodes signed. It names the
entries that were edited, deleted, put elsewhere, or cut off at the end.

Only a checkpoint that was kept elsewhere shows that an old copy of the whole
database was restored. Beside a SQLite file the daemon keeps one
(audit.checkpoint in the state directory), which is used by itself.`,
		Example: `  hyperctl audit verify audit.jsonl --key signing.key.pub --checkpoint kept.checkpoint
  hyperctl audit verify --database /var/lib/hypersdk/hypersdk.db
  hyperctl audit verify --key signing.key.pub`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var lines iter.Seq2[audit.Line, error]
			switch {
			case len(args) == 1:
				f, err := os.Open(args[0])
				if err != nil {
					return fault.Wrap(err, fault.NotFound, "HX-AUDIT-016", "the export "+args[0]+" cannot be read", "")
				}
				defer f.Close() //nolint:errcheck // only read
				lines = audit.ReadLines(f)
			case database != "", postgres != "":
				l, err := openLog(cmd.Context(), &p, database, postgres, passwordFile)
				if err != nil {
					return err
				}
				defer l.Close() //nolint:errcheck // only read
				lines = databaseLog(cmd.Context(), l)
			default:
				d, err := c.access().Connect()
				if err != nil {
					return err
				}
				lines = asLines(daemonLog(cmd.Context(), d))
			}
			return c.verifyAudit(&p, lines)
		},
	}
	p.add(cmd)
	f := cmd.Flags()
	f.StringVar(&database, "database", "", "the SQLite file of a daemon, which may be running")
	f.StringVar(&postgres, "postgres", "", "a PostgreSQL database: postgres://USER@HOST/DATABASE")
	f.StringVar(&passwordFile, "store-password-file", "", "file with the password of that database (default PGPASSWORD, PGPASSFILE)")
	cmd.MarkFlagsMutuallyExclusive("database", "postgres")
	return cmd
}

// openLog opens a database. What a daemon keeps beside a SQLite file is trusted,
// unless keys are named.
func openLog(ctx context.Context, p *proofFlags, database, postgres, passwordFile string) (*store.Log, error) {
	if postgres == "" {
		dir := filepath.Dir(database)
		if len(p.keys) == 0 {
			p.keys = []string{filepath.Join(dir, "signing.key.pub")}
		}
		if witness := filepath.Join(dir, "audit.checkpoint"); len(p.checkpoints) == 0 && exists(witness) {
			p.checkpoints = []string{witness}
		}
		return store.OpenLog(ctx, database)
	}
	o := store.PostgresOptions{URL: secret.New(postgres)}
	if passwordFile != "" {
		text, err := os.ReadFile(passwordFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "HX-CONF-004", "the password file cannot be read", "check the path and the file's permissions")
		}
		o.Password = secret.New(strings.TrimRight(string(text), "\r\n"))
	}
	return store.OpenPostgresLog(ctx, o)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// databaseLog reads the whole log of a database.
func databaseLog(ctx context.Context, l *store.Log) iter.Seq2[audit.Line, error] {
	return func(yield func(audit.Line, error) bool) {
		last := int64(0)
		for {
			lines, err := l.Lines(ctx, last, 1000)
			if err != nil {
				yield(audit.Line{}, err)
				return
			}
			if len(lines) == 0 {
				break
			}
			for _, line := range lines {
				if !yield(line, nil) {
					return
				}
			}
			last = lines[len(lines)-1].Pos
		}
		ahead, err := l.After(ctx, last)
		if err != nil {
			yield(audit.Line{}, err)
			return
		}
		for _, line := range ahead {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// asLines turns the client's lines into those of an export.
func asLines(lines iter.Seq2[client.AuditLine, error]) iter.Seq2[audit.Line, error] {
	return func(yield func(audit.Line, error) bool) {
		for l, err := range lines {
			out := audit.Line{Pos: l.Pos, Leaf: l.Leaf, Hidden: l.Hidden, Checkpoint: l.Checkpoint}
			if err == nil && l.Pos > 0 {
				out.Hash, err = parseHash(l.Hash)
			}
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}

func (c *ctl) verifyAudit(p *proofFlags, lines iter.Seq2[audit.Line, error]) error {
	keys, anchors, err := p.read()
	if err != nil {
		return err
	}
	v := audit.NewVerifier(keys, anchors...)
	for l, err := range lines {
		if err != nil {
			return err
		}
		v.Line(l)
	}
	r := v.Finish()
	if c.json {
		err = c.encode(r)
	} else {
		err = c.showReport(&r)
	}
	if err == nil && len(r.Findings) > 0 {
		return exitError(console.ExitVerification)
	}
	return err
}

func (c *ctl) showReport(r *audit.Report) error {
	for _, f := range r.Findings {
		if _, err := fmt.Fprintf(c.out, "%-9s  %s\n", f.Kind, f.Text); err != nil {
			return err
		}
	}
	verdict := "verified"
	if len(r.Findings) > 0 {
		verdict = "NOT VERIFIED"
	}
	_, err := fmt.Fprintf(c.out, "%s: %d entries, %d removed by retention, %d hidden, %d findings\n", verdict, r.Entries, r.Removed, r.Hidden, len(r.Findings))
	return err
}

func auditProveCommand(c *ctl) *cobra.Command {
	var p proofFlags
	cmd := &cobra.Command{
		Use: "prove [POS]", Short: "Prove that an entry is in the log, or that the log continues a checkpoint",
		Long: `With a place the daemon proves that the entry there is part of what it signed; with
--checkpoint it proves that its log begins with that of the checkpoint. The proof
is checked here, and printed.`,
		Example: "  hyperctl audit prove 4711 --key signing.key.pub\n  hyperctl audit prove --checkpoint kept.checkpoint --key signing.key.pub",
		Args:    cobra.MaximumNArgs(1),
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			keys, anchors, err := p.read()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if err := c.proveEntry(ctx, d, keys, args[0]); err != nil {
					return err
				}
			}
			for _, a := range anchors {
				if err := c.proveContinuation(ctx, d, keys, a); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	p.add(cmd)
	return cmd
}

func (c *ctl) proveEntry(ctx context.Context, d *client.Client, keys audit.Keys, place string) error {
	pos, err := strconv.ParseInt(place, 10, 64)
	if err != nil {
		return fault.Newf(fault.Invalid, "HX-AUDIT-017", "give a number as `hyperctl audit list` shows it", "%.100q is no place in the log", place)
	}
	proof, err := d.AuditProof(ctx, pos)
	if err != nil {
		return err
	}
	point, err := keys.Open(proof.Checkpoint.Note)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(proof.Hashes)
	if err != nil {
		return err
	}
	leaf, err := parseHash(proof.Entry.Hash)
	if err != nil {
		return err
	}
	if proof.Entry.Leaf != "" { // else retention removed it, and its hash is proven
		leaf = tlog.RecordHash([]byte(proof.Entry.Leaf))
	}
	if err := audit.CheckInclusion(point, pos, leaf, hashes); err != nil {
		return err
	}
	if c.json {
		return c.encode(proof)
	}
	_, err = fmt.Fprintf(c.out, "entry %d is one of the %d that %s signed at %s:\n%s\n", pos, point.Size, point.Node, point.Time.Format("2006-01-02 15:04:05 MST"), proof.Entry.Leaf)
	return err
}

func (c *ctl) proveContinuation(ctx context.Context, d *client.Client, keys audit.Keys, older audit.Checkpoint) error {
	proof, err := d.AuditConsistency(ctx, older.Size)
	if err != nil {
		return err
	}
	newer, err := keys.Open(proof.Checkpoint.Note)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(proof.Hashes)
	if err != nil {
		return err
	}
	if err := audit.CheckConsistency(older, newer, hashes); err != nil {
		return err
	}
	if c.json {
		return c.encode(proof)
	}
	_, err = fmt.Fprintf(c.out, "the log of %d entries begins with the %d of the checkpoint\n", newer.Size, older.Size)
	return err
}

func parseHashes(all []string) (out []audit.Hash, err error) {
	out = make([]audit.Hash, len(all))
	for i, s := range all {
		if out[i], err = parseHash(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseHash(s string) (audit.Hash, error) {
	h, err := tlog.ParseHash(s)
	return h, fault.Wrap(err, fault.Corrupt, "HX-AUDIT-018", "the daemon's proof holds what is no hash", "")
}
