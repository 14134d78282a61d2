package main

import (
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/daemon"
	"github.com/hypersdk/hypersdk/internal/telemetry"
)

func serveCommand() *cobra.Command {
	var (
		path string
		show bool
	)
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: `Serve runs the daemon until SIGTERM or SIGINT. Jobs that run then go on at the next
start from their last checkpoint.

The configuration is a YAML file; every key can be overridden by the environment
(HYPERVISORD_SECTION__KEY), and GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD and
GOVC_INSECURE fill what the vsphere section leaves empty. A key that ends in _file,
and store, take credential:NAME, too: a credential that systemd hands over.

The first start makes an API key, in the file auth.key_file. At a terminal it is shown,
once; elsewhere only with --print-first-key, on standard output (the log is on standard
error), and never in the journal of systemd. The log says where the file is.

SIGHUP makes it read the configuration again and take over ` + strings.Join(daemon.LiveKeys(), ", ") + `.
Of other keys that changed it says in the log that they take effect at the next
start. A file that is wrong changes nothing. A changed certificate (tls.cert_file,
tls.key_file) is read again by itself, at SIGHUP at once.`,
		Example: "  hypervisord serve --config /etc/hypersdk/config.yaml\n  HYPERVISORD_STATE_DIR=/tmp/hx hypervisord serve",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := daemon.Load(path, os.LookupEnv, os.Environ())
			if err != nil {
				return err
			}
			log, level, err := telemetry.NewLogger(cmd.ErrOrStderr(), cfg.Log.Level, cfg.Log.Format)
			if err != nil {
				return err
			}
			d, err := daemon.New(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			if err := announce(d.FirstKey(), show, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
				log.Warn("the first API key is not shown", "why", err.Error())
			}
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			d.OnReload(reload, level, func() (daemon.Config, error) { return daemon.Load(path, os.LookupEnv, os.Environ()) })
			return d.Run(cmd.Context())
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "configuration file (default "+daemon.DefaultConfigPath+" if it exists)")
	c.Flags().BoolVar(&show, "print-first-key", false, "write the API key that the first start makes to standard output, once")
	return c
}

func configCommand() *cobra.Command {
	var path string
	c := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	c.PersistentFlags().StringVarP(&path, "config", "c", "", "configuration file (default "+daemon.DefaultConfigPath+" if it exists)")
	c.AddCommand(
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of the configuration", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				all, err := daemon.Schemas()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(all["config"])
				return err
			},
		},
		&cobra.Command{
			Use: "check", Short: "Check the configuration, and name every wrong key", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := daemon.Load(path, os.LookupEnv, os.Environ())
				if err == nil {
					cmd.Println("the configuration is valid")
				}
				return err
			},
		},
		&cobra.Command{
			Use: "show", Short: "Print the configuration in force, with every key; secrets are hidden", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := daemon.Load(path, os.LookupEnv, os.Environ())
				if err != nil {
					return err
				}
				text, err := cfg.YAML()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			},
		},
	)
	return c
}
