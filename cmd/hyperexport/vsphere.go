package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/job"
)

func vsphereCommand(o *options) *cobra.Command {
	conn := &connection{}
	c := &cobra.Command{
		Use:   "vsphere",
		Short: "Export from VMware vSphere",
		Long: `The vCenter is named by GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD and GOVC_INSECURE, or
by flags. A password is never a flag: use GOVC_PASSWORD or --password-file.`,
	}
	f := c.PersistentFlags()
	f.StringVar(&conn.url, "url", "", "vCenter or ESXi host (default $GOVC_URL)")
	f.StringVar(&conn.username, "username", "", "user with domain (default $GOVC_USERNAME)")
	f.StringVar(&conn.passwordFile, "password-file", "", "file that holds the password (default $GOVC_PASSWORD)")
	f.StringVar(&conn.thumbprint, "thumbprint", "", "SHA-1 or SHA-256 thumbprint of vCenter's certificate")
	f.StringVar(&conn.caFile, "ca-file", "", "PEM file of the CA that signed vCenter's certificate")
	f.BoolVar(&conn.insecure, "insecure", false, "do not verify vCenter's certificate (default $GOVC_INSECURE)")
	f.StringVar(&conn.server, "server", "", "submit to this hypervisord instead (e.g. http://127.0.0.1:8080)")
	f.StringVar(&conn.keyFile, "api-key-file", "", "file that holds the API key of --server (default $HYPERVISORD_API_KEY)")
	c.AddCommand(exportCommand(o, conn), listCommand(o, conn))
	return c
}

func exportCommand(o *options, conn *connection) *cobra.Command {
	e := &export{o: o, conn: conn}
	c := &cobra.Command{
		Use:   "export --vm VM… [--format FORMAT] [--output DIR]",
		Short: "Export VMs, verify what was stored, and leave a receipt",
		Long: `Export freezes each VM by a snapshot, reads its disks once, converts on the way,
reads back what it stored, and publishes DIR/VMNAME with a signed receipt.json.
Nothing appears under that name before it is complete and verified. Ctrl-C cancels
and cleans up on vCenter and on disk. After a crash, the same command goes on
where it stopped.

` + console.ExitHelp,
		Example: `  hyperexport vsphere export --vm /DC/vm/web-01 --format qcow2 --output ./backups
  hyperexport vsphere export --vm '/DC/vm/Linux/*' --vm production-db --format ova
  hyperexport vsphere export --vm /DC/vm/web-01 --profile prod-backup --output /backups`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e.given = cmd.Flags().Changed
			return e.run(cmd.Context())
		},
	}
	f := c.Flags()
	f.StringArrayVar(&e.vms, "vm", nil, "VM by inventory path (globs allowed), name, UUID or MoRef; repeat for several")
	f.StringVarP(&e.output, "output", "o", ".", "directory that gets one directory for each VM")
	f.StringVarP(&e.spec.Format, "format", "f", "ova", "ova, ovf, vmdk, qcow2 or raw")
	f.StringVar(&e.compression, "compression", "zlib", "of a qcow2: zlib, zstd or none")
	f.IntVar(&e.spec.CompressionLvl, "compression-level", 0, "0: the codec's default")
	f.StringVar(&e.spec.Verify, "verify", "full", "full: read back and compare; none")
	f.StringVar(&e.spec.Transport, "transport", "auto", "auto, range (datastore file, resumable) or nfc (export stream)")
	f.StringArrayVar(&e.spec.ExcludeDisks, "exclude-disk", nil, "disk to leave out, by key or label; repeat for several")
	f.BoolVar(&e.spec.PowerOff, "power-off", false, "allow a running VM to be powered off instead of a snapshot")
	f.StringVar(&e.spec.Name, "name", "", "name of the output (one VM only; default: the VM's name)")
	profileFlags(c, e)
	f.IntVar(&e.parallel, "parallel", 2, "VMs at once")
	f.StringVar(&e.stateDir, "state-dir", "", "where the state for resuming is kept (default DIR/.hyperexport)")
	for flag, values := range map[string][]string{
		"format":      {"ova", "ovf", "vmdk", "qcow2", "raw"},
		"compression": {"zlib", "zstd", "none"},
		"verify":      {"full", "none"},
		"transport":   {"auto", "range", "nfc"},
	} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = c.MarkFlagRequired("vm")
	return c
}

func listCommand(o *options, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:     "list [PATTERN…]",
		Short:   "List VMs, and what would block their export",
		Example: "  hyperexport vsphere list\n  hyperexport vsphere list '/DC/vm/Linux/*'",
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := conn.open(cmd.Context(), engineOptions{log: o.err})
			if err != nil {
				return err
			}
			vms, err := e.vms(cmd.Context(), args)
			if err := closeBoth(cmd.Context(), e, err); err != nil {
				return err
			}
			if o.json {
				return json.NewEncoder(o.out).Encode(vms)
			}
			rows := [][]string{{"PATH", "POWER", "DISKS", "CAPACITY", "USED", "HOST", "NOTE"}}
			for _, vm := range vms {
				var size, used int64
				for _, d := range vm.Disks {
					size, used = size+d.CapacityBytes, used+d.UsedBytes
				}
				var notes []string
				for _, b := range vm.Blockers {
					notes = append(notes, b.Msg)
				}
				rows = append(rows, []string{vm.Path, vm.PowerState, strconv.Itoa(len(vm.Disks)), console.Bytes(size), console.Bytes(used), vm.Host, strings.Join(notes, "; ")})
			}
			return console.Table(o.out, rows)
		},
	}
}

// show is what a finished job prints.
func show(o *options, j *job.Job) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(j)
	}
	if j.State != job.Completed {
		console.Failure(o.err, j.Spec.VMPath, string(j.State), j.Error)
		return nil
	}
	return console.Completed(o.out, j)
}
