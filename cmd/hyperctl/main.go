// Hyperctl operates a hypervisord.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/version"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// ctl are the flags that every command has.
type ctl struct {
	in       io.Reader
	out, err io.Writer
	server   string
	keyFile  string
	caFile   string
	key      string // idempotency key of what the command changes
	json     bool

	certFile, certKeyFile string
}

// exitError ends the program with a code; everything was said already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	c := &ctl{in: in, out: out, err: errOut}
	root := &cobra.Command{
		Use:   "hyperctl",
		Short: "Operate a hypervisord",
		Long: `Hyperctl talks to a running hypervisord. The API key comes from --api-key-file or
HYPERVISORD_API_KEY; without one, the login of 'hyperctl login' counts, or the client
certificate of --cert.

` + console.ExitHelp,
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", cmp.Or(os.Getenv("HYPERVISORD_SERVER"), console.DefaultServer), "URL of the daemon (default $HYPERVISORD_SERVER)")
	f.StringVar(&c.keyFile, "api-key-file", os.Getenv("HYPERVISORD_API_KEY_FILE"), "file that holds the API key (default $HYPERVISORD_API_KEY_FILE)")
	f.StringVar(&c.caFile, "ca", os.Getenv("HYPERVISORD_CA_FILE"), "file with the CA of the daemon's certificate, besides the system's (default $HYPERVISORD_CA_FILE)")
	f.StringVar(&c.key, "idempotency-key", "", "change once however often this is repeated (for 24 hours); by chance unless given")
	f.StringVar(&c.certFile, "cert", os.Getenv("HYPERVISORD_CERT_FILE"), "client certificate to show to the daemon (default $HYPERVISORD_CERT_FILE)")
	f.StringVar(&c.certKeyFile, "cert-key", os.Getenv("HYPERVISORD_CERT_KEY_FILE"), "key of --cert (default $HYPERVISORD_CERT_KEY_FILE)")
	f.BoolVar(&c.json, "json", false, "write JSON")
	root.AddCommand(webhooksCommand(c), loginCommand(c), logoutCommand(c), whoamiCommand(c))
	root.AddCommand(jobsCommand(c), schedulesCommand(c), retentionCommand(c), vmsCommand(c), statusCommand(c), nodesCommand(c), tenantsCommand(c), keysCommand(c))
	root.AddCommand(doctorCommand(c), eventsCommand(c), profilesCommand(c), validateCommand(c), supportCommand(c), auditCommand(c))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := console.ServerError(root.ExecuteContext(ctx))
	var code exitError
	switch {
	case err == nil:
		return console.ExitOK
	case errors.As(err, &code):
		return int(code)
	case !console.Classified(err):
		_, _ = fmt.Fprintf(errOut, "Error: %v\nRun 'hyperctl --help' for usage.\n", err)
		return console.ExitUsage
	default:
		console.Error(errOut, err)
		return console.ExitOf(err)
	}
}

// connect makes the client of the daemon.
func (c *ctl) connect() (*client.Client, error) {
	d, err := c.access().Connect()
	if err != nil {
		return nil, err
	}
	return d.Keyed(c.key), nil
}

// do runs f with a client.
func (c *ctl) do(f func(ctx context.Context, d *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		d, err := c.connect()
		if err != nil {
			return err
		}
		return f(cmd.Context(), d, args)
	}
}

func (c *ctl) encode(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func vmsCommand(c *ctl) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use:     "vms [PATTERN…]",
		Short:   "List the VMs that the daemon can export",
		Example: "  hyperctl vms '/DC/vm/Linux/*'",
		RunE: c.do(func(ctx context.Context, d *client.Client, args []string) error {
			vms, err := d.VMs(ctx, provider, args...)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(vms)
			}
			rows := [][]string{{"PATH", "ID", "POWER", "DISKS", "CAPACITY", "HOST"}}
			for _, vm := range vms {
				var size int64
				for _, disk := range vm.Disks {
					size += disk.CapacityBytes
				}
				rows = append(rows, []string{vm.Path, vm.ID, vm.PowerState, strconv.Itoa(len(vm.Disks)), console.Bytes(size), vm.Host})
			}
			return console.Table(c.out, rows)
		}),
	}
	cmd.Flags().StringVar(&provider, "provider", "", "provider (default vsphere)")
	return cmd
}

func statusCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the daemon is", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error {
			s, err := d.Status(ctx)
			if err != nil {
				return err
			}
			h, err := d.Health(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.encode(map[string]any{"status": s, "health": h})
			}
			rows := [][]string{
				{"VERSION", s.Version},
				{"UPTIME", time.Duration(s.Uptime * float64(time.Second)).Round(time.Second).String()},
				{"HEALTH", h.Status},
				{"WORKERS", workersText(s.Workers)},
				{"OLDEST WAIT", time.Duration(s.OldestWait * float64(time.Second)).Round(time.Second).String()},
			}
			for _, state := range slices.Sorted(maps.Keys(s.Jobs)) {
				rows = append(rows, []string{"JOBS " + string(state), strconv.FormatInt(s.Jobs[state], 10)})
			}
			for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
				rows = append(rows, []string{"CHECK " + name, h.Checks[name].Status + "  " + h.Checks[name].Message})
			}
			return console.Table(c.out, rows)
		}),
	}
}

// workersText tells how many workers there are, and why.
func workersText(w client.Workers) string {
	text := fmt.Sprintf("%d of %d at work", w.Busy, w.Size)
	if w.Min == w.Max {
		return text
	}
	return fmt.Sprintf("%s (between %d and %d: %s)", text, w.Min, w.Max, w.Reason)
}
