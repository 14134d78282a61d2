// Hypervisord is the daemon: it exports virtual machines as durable jobs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/version"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	root := &cobra.Command{
		Use:           "hypervisord",
		Short:         "Gets virtual machines out of a hypervisor, and proves it",
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	root.AddCommand(serveCommand(), demoCommand(), vcsimCommand(), configCommand(), storeCommand())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return console.ExitOK
	case !console.Classified(err):
		_, _ = fmt.Fprintf(errOut, "Error: %v\nRun 'hypervisord --help' for usage.\n", err)
		return console.ExitUsage
	default:
		console.Error(errOut, err)
		return console.ExitOf(err)
	}
}
