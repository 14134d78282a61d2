package main

import (
	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on a simulated vCenter",
		Long: `Demo starts a simulated vCenter with real disks and a daemon, exports a running VM
as qcow2 and as OVA, compares both with the source by qemu-img and boots the result
in QEMU. It needs qemu-utils and qemu-system-x86.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return demo.Run(cmd.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Keep, "keep", false, "go on serving until Ctrl-C, and print commands to try")
	return c
}
