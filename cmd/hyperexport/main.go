// Hyperexport exports VMs now: the engine of hypervisord inside one command, or
// a submit to a daemon.
package main

import (
	"context"
	"errors"
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

// options are the flags that every command has.
type options struct {
	out, err io.Writer
	json     bool
	quiet    bool
}

// exitError ends the program with a code; everything was said already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func run(args []string, out, errOut io.Writer) int {
	o := &options{out: out, err: errOut}
	root := &cobra.Command{
		Use:   "hyperexport",
		Short: "Export virtual machines, and prove it",
		Long: `Hyperexport gets virtual machines out of vSphere: it freezes a VM, reads its disks
once, converts and compresses on the way, reads back what it stored, and leaves a
signed receipt that anyone can check.

` + console.ExitHelp,
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	root.PersistentFlags().BoolVar(&o.json, "json", false, "write JSON to standard output")
	root.PersistentFlags().BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	root.AddCommand(vsphereCommand(o), verifyCommand(o), convertCommand(o))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	var code exitError
	var usage *usageError
	switch {
	case err == nil:
		return console.ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage), !console.Classified(err):
		_, _ = fmt.Fprintf(errOut, "Error: %v\nRun 'hyperexport --help' for usage.\n", err)
		return console.ExitUsage
	default:
		console.Error(errOut, err)
		return console.ExitOf(err)
	}
}

// usageError is a wrong use of flags or arguments.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }
