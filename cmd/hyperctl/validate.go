package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
)

func validateCommand(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "validate --file FILE", Short: "Check a file of jobs, a workflow or a profile, without a daemon", Args: cobra.NoArgs,
		Long: `Validate reads the file as the daemon does and says everything that is wrong with
it, with its line. A file with defaults or extends is a profile. What only the
daemon knows (its providers, its directories, its object store, the profile that
another one extends) is not checked.`,
		Example: "  hyperctl validate -f workflow.yaml\n  hyperctl validate -f prod-backup.yaml",
		RunE: func(*cobra.Command, []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			if isProfile(text) {
				return c.validateProfile(text)
			}
			return c.validateJobs(text)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "JSON or YAML file; - for standard input")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

// isProfile tells a profile by the keys that only profiles have.
func isProfile(text []byte) bool {
	var keys struct {
		Defaults *yaml.Node `yaml:"defaults"`
		Extends  *yaml.Node `yaml:"extends"`
	}
	return yaml.Load(text, &keys) == nil && (keys.Defaults != nil || keys.Extends != nil)
}

func (c *ctl) validateProfile(text []byte) error {
	p, err := profile.Parse("profile", text, "application/yaml") // JSON is YAML
	if err != nil {
		return err
	}
	above := ""
	if p.Extends != "" {
		above = " that extends " + p.Extends
	}
	_, err = fmt.Fprintf(c.out, "valid: a profile%s\n", above)
	return err
}

func (c *ctl) validateJobs(text []byte) error {
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
