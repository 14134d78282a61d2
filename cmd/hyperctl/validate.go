package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

func validateCommand(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "validate --file FILE", Short: "Check a file of jobs or a workflow, without a daemon", Args: cobra.NoArgs,
		Long: `Validate reads the file as the daemon does and says everything that is wrong with
it, with lines and columns. What only the daemon knows (its providers, its
directories, its object store) is not checked.`,
		Example: "  hyperctl validate -f workflow.yaml",
		RunE: func(*cobra.Command, []string) error {
			text, err := c.read(file)
			if err != nil {
				return err
			}
			return c.validate(text)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "JSON or YAML file; - for standard input")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func (c *ctl) validate(text []byte) error {
	specs, err := job.DecodeSpecs(text, "application/yaml") // JSON is YAML
	if err != nil {
		return err
	}
	for i, s := range specs {
		if err := s.WithDefaults().Validate(time.Now()); err != nil {
			f := fault.As(err)
			if len(specs) > 1 {
				f.Msg = fmt.Sprintf("job %d: %s", i+1, f.Msg)
			}
			return f
		}
	}
	if len(specs) == 1 && specs[0].IsWorkflow() {
		_, err = fmt.Fprintf(c.out, "valid: a workflow of %d steps\n", len(specs[0].Plan().Steps))
	} else {
		_, err = fmt.Fprintf(c.out, "valid: %d jobs\n", len(specs))
	}
	return err
}
