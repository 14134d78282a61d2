package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/version"
)

// How much of the queue a support bundle holds.
const (
	bundledJobs      = 200
	bundledHistories = 20 // of jobs that failed
)

func supportCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "support-bundle [FILE]", Short: "Collect what a report of a fault needs", Args: cobra.MaximumNArgs(1),
		Long: `Support-bundle writes an archive (.tar.gz) with the daemon's health, status, nodes
and metrics, the newest jobs, and the history of those that failed. It holds no
key, no password and no content of disks; it does hold names of VMs and paths:
look at it before you hand it on. The daemon's log is not in it: add
'journalctl -u hypervisord'.`,
		Example: "  hyperctl support-bundle\n  hyperctl support-bundle - | tar -tzv",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			name := "hypersdk-support-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
			if len(args) == 1 {
				name = args[0]
			}
			if name == "-" {
				return writeBundle(ctx, d, c.server, c.out)
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fault.Wrap(err, fault.Invalid, "HX-CLI-020", "the file "+name+" cannot be made", "name one that is not there yet, in a directory that you may write to")
			}
			err = errors.Join(writeBundle(ctx, d, c.server, f), f.Close())
			if err != nil {
				return errors.Join(err, os.Remove(name))
			}
			_, err = fmt.Fprintln(c.out, name)
			return err
		}),
	}
}

// bundle is an archive in the making. What cannot be had is listed in it with the
// reason: a daemon in trouble is what it is for.
type bundle struct {
	tar     *tar.Writer
	dir     string
	at      time.Time
	missing map[string]string
}

func writeBundle(ctx context.Context, d *client.Client, server string, to io.Writer) error {
	packed := gzip.NewWriter(to)
	at := time.Now().UTC()
	b := &bundle{tar: tar.NewWriter(packed), dir: "hypersdk-support", at: at, missing: map[string]string{}}
	err := b.json("about.json", map[string]string{
		"hyperctl": version.String(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
		"server": server, "time": at.Format(time.RFC3339),
	})
	if err == nil {
		err = b.collect(ctx, d)
	}
	if err == nil {
		err = b.json("missing.json", b.missing)
	}
	return errors.Join(err, b.tar.Close(), packed.Close())
}

func (b *bundle) collect(ctx context.Context, d *client.Client) error {
	health, err := d.Health(ctx)
	if err := b.part("health.json", health, err); err != nil {
		return err
	}
	status, err := d.Status(ctx)
	if err := b.part("status.json", status, err); err != nil {
		return err
	}
	nodes, err := d.Nodes(ctx)
	if err := b.part("nodes.json", nodes, err); err != nil {
		return err
	}
	metrics, err := d.Metrics(ctx)
	if err != nil {
		b.missing["metrics.txt"] = err.Error()
	} else if err := b.file("metrics.txt", metrics); err != nil {
		return err
	}
	page, err := d.Query(ctx, client.Query{Limit: bundledJobs})
	if err := b.part("jobs.json", page.Jobs, err); err != nil {
		return err
	}
	return b.histories(ctx, d)
}

// histories adds the events of the newest jobs that failed.
func (b *bundle) histories(ctx context.Context, d *client.Client) error {
	failed, err := d.Query(ctx, client.Query{Status: []client.State{client.Failed}, Limit: bundledHistories})
	if err != nil {
		b.missing["events"] = err.Error()
	}
	for _, j := range failed.Jobs {
		var events []client.Event
		var broken error
		for u, err := range d.Events(ctx, j.ID, 0) {
			if err != nil {
				broken = err
				break
			}
			if u.Event != nil {
				events = append(events, *u.Event)
			}
		}
		if err := b.part("events/"+j.ID+".json", events, broken); err != nil {
			return err
		}
	}
	return nil
}

// part adds v, or notes why it is not there.
func (b *bundle) part(name string, v any, err error) error {
	if err == nil {
		return b.json(name, v)
	}
	b.missing[name] = err.Error()
	return nil
}

func (b *bundle) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return b.file(name, append(text, '\n'))
}

func (b *bundle) file(name string, text []byte) error {
	err := b.tar.WriteHeader(&tar.Header{Name: path.Join(b.dir, name), Mode: 0o600, Size: int64(len(text)), ModTime: b.at})
	if err != nil {
		return err
	}
	_, err = b.tar.Write(text)
	return err
}
