package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/hypersdk/hypersdk/docs/schemas"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/schema/check"
)

func validateCommand(c *ctl) *cobra.Command {
	var file, kind string
	cmd := &cobra.Command{
		Use: "validate --file FILE", Short: "Check a file of jobs, a workflow, a profile or a configuration, without a daemon", Args: cobra.NoArgs,
		Long: `Validate holds the file against its JSON Schema and reads it as the daemon does, and
says everything that is wrong with it, with its line and column. What kind of
file it is shows in its keys, or is said by --kind. What only the daemon knows
(its providers, its directories, its object store, the profile that another one
extends) is not checked; hypervisord config check checks a configuration with
what its keys mean for each other.`,
		Example: "  hyperctl validate -f workflow.yaml\n  hyperctl validate -f prod-backup.yaml\n  hyperctl validate -f /etc/hypersdk/config.yaml --kind config",
		RunE: func(*cobra.Command, []string) error {
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			switch cmp.Or(kind, kindOf(text)) {
			case "profile":
				return c.validateProfile(text)
			case "config":
				return c.validateConfig(text)
			case "job", "workflow", "":
				return c.validateJobs(text)
			}
			return fault.Newf(fault.Invalid, "HX-CTL-010", "one of: "+strings.Join(schemas.Kinds(), ", "), "there is no kind of file %.50q", kind)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "JSON or YAML file; - for standard input")
	cmd.Flags().StringVar(&kind, "kind", "", "config, job, profile or workflow; found out unless told")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(schemas.Kinds(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// kindOf tells a profile and a configuration by keys that nothing else has.
func kindOf(text []byte) string {
	var root yaml.Node
	if yaml.Load(text, &root) != nil || len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i < len(root.Content[0].Content); i += 2 {
		switch root.Content[0].Content[i].Value {
		case "defaults", "extends":
			return "profile"
		case "listen", "state_dir", "store", "output", "vsphere", "auth", "log", "queue":
			return "config"
		}
	}
	return ""
}

// matches holds a text against the schema of its kind.
func matches(kind string, text []byte) error {
	schema, _ := schemas.Of(kind)
	problems, err := check.Document(schema, text)
	if err != nil || len(problems) == 0 {
		return err
	}
	all := make([]string, len(problems))
	for i, p := range problems {
		all[i] = p.String()
	}
	return fault.New(fault.Invalid, "HX-CTL-011", "this is no valid "+kind+" file: "+strings.Join(all, "; "), "correct it; GET /schemas/"+kind+".json has its form")
}

// matchesJob holds a file of one job against the schema; one of many is a list of
// such.
func (c *ctl) matchesJob(text []byte) error {
	var one struct {
		VMPath *yaml.Node `yaml:"vm_path"`
	}
	if err := yaml.Load(text, &one); err != nil || one.VMPath == nil {
		return nil //nolint:nilerr // what is no YAML is told by who reads it next
	}
	return matches("job", text)
}

func (c *ctl) validateConfig(text []byte) error {
	if err := matches("config", text); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, "valid: a configuration")
	return err
}

func (c *ctl) validateProfile(text []byte) error {
	p, err := profile.Parse("profile", text, "application/yaml") // JSON is YAML
	if err != nil {
		return err
	}
	if err := matches("profile", text); err != nil {
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
		if err := matches("workflow", text); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "valid: a workflow of %d steps\n", len(specs[0].Plan().Steps))
	} else {
		if err := c.matchesJob(text); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "valid: %d jobs\n", len(specs))
	}
	return err
}
