package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

func verifyCommand(o *options) *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use:   "verify PATH",
		Short: "Read an export back and compare it with its receipt",
		Long: `Verify reads every file of an export, recomputes the Merkle root of every disk and
compares both with the signed receipt. A difference is located: verify says which
range of which disk it is in.

Without --key the signature shows only that the receipt was not changed since it
was written; with the daemon's signing.key.pub it shows who wrote it.`,
		Example: "  hyperexport verify ./backups/web-01\n  hyperexport verify --key signing.key.pub ./backups/web-01",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var key ed25519.PublicKey
			if keyFile != "" {
				var err error
				if key, err = receipt.ReadPublicKey(keyFile); err != nil {
					return err
				}
			}
			return verify(cmd.Context(), o, args[0], key)
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "public key that must have signed the receipt (signing.key.pub of the daemon)")
	return c
}

func verify(ctx context.Context, o *options, path string, key ed25519.PublicKey) error {
	show := newWatcher(o, "verify")
	rep, err := artifact.Verify(ctx, path, key, show.begin)
	show.end()
	if err != nil {
		return err
	}
	if o.json {
		err = json.NewEncoder(o.out).Encode(struct {
			OK bool `json:"ok"`
			*artifact.Report
		}{rep.OK(), rep})
	} else {
		err = printReport(o, path, rep)
	}
	if err == nil && !rep.OK() {
		err = exitError(console.ExitVerification)
	}
	return err
}

func printReport(o *options, path string, rep *artifact.Report) error {
	verdict := "identical to what was read at the source"
	if !rep.OK() {
		verdict = "DIFFERENT from what was read at the source"
	}
	trust := "signed by key " + rep.KeyID
	if !rep.Trusted {
		trust += " (not compared with a key of yours: see --key)"
	}
	if _, err := fmt.Fprintf(o.out, "%s\n  VM       %s (%s)\n  taken    %s\n  receipt  %s\n", console.Printable(path),
		console.Printable(rep.Receipt.VM.Path), rep.Receipt.Format, rep.Receipt.Started.Format(time.RFC3339), trust); err != nil {
		return err
	}
	for _, d := range rep.Disks {
		state := "ok"
		switch {
		case d.Problem != "":
			state = "FAILED: " + d.Problem
		case len(d.Differences) > 0:
			state = "DIFFERENT: " + ranges(d.Differences)
		}
		if _, err := fmt.Fprintf(o.out, "  disk     %s  root %s  %s\n", console.Printable(d.Name), d.Root, state); err != nil {
			return err
		}
	}
	for _, f := range rep.Files {
		if f.Problem != "" {
			if _, err := fmt.Fprintf(o.out, "  file     %s  FAILED: %s\n", console.Printable(f.Name), f.Problem); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(o.out, "  result   %s\n", verdict)
	return err
}

// ranges lists where a disk differs.
func ranges(all []artifact.Difference) string {
	text := make([]string, len(all))
	for i, d := range all {
		text[i] = fmt.Sprintf("bytes %d to %d", d.Offset, d.Offset+d.Length-1)
	}
	return strings.Join(text, ", ")
}

// watcher shows the counters of a running read.
type watcher struct {
	name string // of what is done
	show console.Progress
	stop chan struct{}
	wg   sync.WaitGroup
}

func newWatcher(o *options, name string) *watcher {
	return &watcher{name: name, show: console.NewProgress(o.err, o.quiet || o.json), stop: make(chan struct{})}
}

func (w *watcher) begin(disks []receipt.Disk, counters []*disk.Counters) {
	started := time.Now()
	w.wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			bars := make([]console.Bar, len(disks))
			for i, d := range disks {
				done := counters[i].Offset.Load()
				rate := float64(done) / time.Since(started).Seconds()
				bars[i] = console.Bar{Name: d.Name, Done: done, Total: d.Size, Rate: rate, ETA: -1}
				if rate > 0 {
					bars[i].ETA = float64(d.Size-done) / rate
				}
			}
			w.show.Update(w.name, "reading", bars)
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
}

func (w *watcher) end() {
	close(w.stop)
	w.wg.Wait()
	w.show.Close()
}
