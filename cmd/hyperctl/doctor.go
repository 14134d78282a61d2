package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/version"
)

// maxSkew is how far the clocks may be apart before it matters.
const maxSkew = 5 * time.Second

// What an examination finds.
const (
	good  = "ok"
	doubt = "warn"
	wrong = "FAIL"
)

// finding is one line of a diagnosis.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warn, FAIL
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

func doctorCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Examine the daemon and the way to it, and say what to do", Args: cobra.NoArgs,
		Long: `Doctor looks at what has to be right before an export can succeed: the daemon
answers, the key is good and safe, the clocks agree, vCenter takes the login, the
disks have room, the database takes changes, no node is lost. It changes nothing.
The exit code is 0 if nothing fails, 4 if the key is refused, else 3.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := examine(cmd.Context(), c)
			if err := c.diagnosis(found); err != nil {
				return err
			}
			for _, f := range found {
				switch {
				case f.Result != wrong:
				case f.Check == checkKey:
					return exitError(console.ExitAuth)
				default:
					return exitError(console.ExitPreflight)
				}
			}
			return nil
		},
	}
}

// diagnosis shows the findings, and below them what to do.
func (c *ctl) diagnosis(found []finding) error {
	if c.json {
		return c.encode(found)
	}
	rows := [][]string{{"CHECK", "RESULT", ""}}
	for _, f := range found {
		rows = append(rows, []string{f.Check, f.Result, f.Detail})
	}
	if err := console.Table(c.out, rows); err != nil {
		return err
	}
	for _, f := range found {
		if f.Fix == "" {
			continue
		}
		if _, err := fmt.Fprintf(c.out, "\n%s: %s\n", f.Check, f.Fix); err != nil {
			return err
		}
	}
	return nil
}

const (
	checkDaemon = "daemon"
	checkKey    = "key"
)

// examine looks at everything, from the near to the far; behind a daemon that does
// not answer there is nothing to see.
func examine(ctx context.Context, c *ctl) []finding {
	found := []finding{c.examineWay()}
	d, err := c.access().Connect()
	if err != nil {
		return append(found, failed(checkDaemon, err))
	}
	begin := time.Now()
	h, err := d.Health(ctx)
	if err != nil {
		return append(found, failed(checkDaemon, err))
	}
	found = append(found,
		finding{Check: checkDaemon, Result: good, Detail: fmt.Sprintf("%s, up for %s", c.server, (time.Duration(h.Uptime) * time.Second))},
		examineClock(h.Timestamp, begin, time.Now()), examineVersion(h.Version))
	if _, err := d.Status(ctx); err != nil {
		return append(found, failed(checkKey, err)) // the rest would tell a stranger nothing
	}
	found = append(found, c.examineKeyFile())
	return append(append(found, examineParts(h.Checks)...), examineNodes(ctx, d))
}

func failed(check string, err error) finding {
	f := fault.As(console.ServerError(err))
	return finding{Check: check, Result: wrong, Detail: strings.TrimSpace(f.Code + " " + f.Msg), Fix: f.Fix}
}

// examineWay looks at how the key travels.
func (c *ctl) examineWay() finding {
	f := finding{Check: "way", Result: good, Detail: "the key does not leave this machine in clear text"}
	u, err := url.Parse(c.server)
	if err != nil || u.Scheme != "http" {
		return f
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return f
	}
	return finding{Check: f.Check, Result: doubt, Detail: "the key travels to " + u.Host + " in clear text", Fix: "use https, or a tunnel"}
}

// examineKeyFile looks at who else can read the key.
func (c *ctl) examineKeyFile() finding {
	f := finding{Check: checkKey, Result: good, Detail: "it is accepted"}
	if c.keyFile == "" {
		return f
	}
	if info, err := os.Stat(c.keyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		return finding{Check: f.Check, Result: doubt, Detail: "others on this machine can read " + c.keyFile, Fix: "chmod 600 " + c.keyFile}
	}
	return f
}

// examineClock compares the daemon's clock with ours: it was read some time between
// begin and end.
func examineClock(theirs, begin, end time.Time) finding {
	skew := theirs.Sub(begin.Add(end.Sub(begin) / 2)).Round(time.Millisecond)
	if slack := maxSkew + end.Sub(begin)/2; skew.Abs() <= slack {
		return finding{Check: "clock", Result: good, Detail: fmt.Sprintf("%s apart", skew.Abs())}
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return finding{Check: "clock", Result: wrong, Detail: fmt.Sprintf("the daemon's clock is %s %s this machine's", skew.Abs(), direction),
		Fix: "synchronise both (systemd-timesyncd, chrony): signatures, expiry of keys and schedules go by them"}
}

func examineVersion(theirs string) finding {
	ours := version.String()
	if ours == theirs {
		return finding{Check: "version", Result: good, Detail: ours}
	}
	return finding{Check: "version", Result: doubt, Detail: "hyperctl is " + ours + ", the daemon " + theirs, Fix: "use the same version of both"}
}

// examineParts takes over what the daemon says of its parts.
func examineParts(checks map[string]client.Check) (found []finding) {
	provider := false
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		c := checks[name]
		provider = provider || strings.HasPrefix(name, "provider_")
		f := finding{Check: name, Result: map[string]string{"healthy": good, "degraded": doubt}[c.Status]}
		if f.Result == "" || strings.HasPrefix(name, "provider_") && c.Status != "healthy" {
			f.Result = wrong // no export without it, although the daemon lives
		}
		f.Detail, f.Fix, _ = strings.Cut(c.Message, " → ")
		found = append(found, f)
	}
	if !provider {
		found = append(found, finding{Check: "provider", Result: doubt, Detail: "no hypervisor is configured", Fix: "set vsphere.url, or GOVC_URL, and start the daemon again"})
	}
	return found
}

func examineNodes(ctx context.Context, d *client.Client) finding {
	nodes, err := d.Nodes(ctx)
	if err != nil {
		return failed("nodes", err)
	}
	var lost []string
	for _, n := range nodes {
		if n.State == string(node.Lost) {
			lost = append(lost, n.ID)
		}
	}
	if len(lost) > 0 {
		return finding{Check: "nodes", Result: doubt, Detail: fmt.Sprintf("%d of %d are lost: %s", len(lost), len(nodes), strings.Join(lost, ", ")),
			Fix: "look at those machines; their jobs go on elsewhere"}
	}
	return finding{Check: "nodes", Result: good, Detail: fmt.Sprintf("%d on the list, none lost", len(nodes))}
}
