package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

func vcsimCommand() *cobra.Command {
	var o vcsim.Options
	var raw []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "vcsim",
		Short: "Run a simulated vCenter with real disks, for tests and trials",
		Long: `Vcsim serves a simulated vCenter on loopback until it is stopped: govmomi's
simulator, with virtual machines whose disks hold real content, export leases,
snapshots and datastore downloads. Any vSphere client can use it, govc too.
It is no vCenter: docs/vsphere-simulator.md says what it models.`,
		Example: `  hypervisord vcsim
  hypervisord vcsim --listen 127.0.0.1:8989 --add-vm bench=/tmp/disk.raw`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, r := range raw {
				vm, err := rawVM(r)
				if err != nil {
					return err
				}
				o.VMs = append(o.VMs, vm)
			}
			if len(raw) > 0 {
				o.VMs = append(vcsim.DefaultInventory(), o.VMs...)
			}
			s, err := vcsim.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{
					"url": s.URL().String(), "username": s.Username(), "password": s.Password(), "thumbprint": s.Thumbprint(),
				})
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "export GOVC_URL='%s'\nexport GOVC_USERNAME='%s'\nexport GOVC_PASSWORD='%s'\nexport GOVC_INSECURE=true\n",
					s.URL(), s.Username(), s.Password())
			}
			if err == nil {
				<-cmd.Context().Done()
			}
			if cerr := s.Close(); err == nil {
				err = cerr
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8989", "address of the vCenter")
	f.StringVar(&o.HostListen, "host-listen", "127.0.0.1:0", "address that stands for the ESXi hosts")
	f.StringVar(&o.Dir, "dir", "", "where the disks are kept (default: a temporary directory)")
	f.IntVar(&o.Filler, "filler", 0, "this many more small VMs")
	f.StringArrayVar(&raw, "add-vm", nil, "NAME=FILE: one more VM whose disk is a copy of the raw image FILE")
	f.BoolVar(&asJSON, "json", false, "print the connection as JSON")
	return c
}

func rawVM(arg string) (vcsim.VM, error) {
	name, file, ok := strings.Cut(arg, "=")
	if !ok {
		return vcsim.VM{}, fmt.Errorf("--add-vm wants NAME=FILE, not %q", arg)
	}
	if _, err := os.Stat(file); err != nil {
		return vcsim.VM{}, fmt.Errorf("--add-vm: %w", err)
	}
	return vcsim.VM{Path: name, Disks: []vcsim.Disk{{Raw: file}}}, nil
}
