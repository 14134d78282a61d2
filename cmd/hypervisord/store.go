package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store"
)

func storeCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "Work on the store of a daemon that is stopped"}
	c.AddCommand(storeMigrateCommand())
	return c
}

func storeMigrateCommand() *cobra.Command {
	var from, to, passwordFile string
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Carry everything over from SQLite to an empty PostgreSQL database",
		Long: `Migrate copies every table of the SQLite store in a state directory into a
PostgreSQL database that holds no data, in one transaction: after an error nothing
of it is there, and it can be started again. The directory stays as it is. The
daemon must be stopped; afterwards set store: to the URL and start it on the same
state directory: its jobs go on.`,
		Example: "  hypervisord store migrate --from /var/lib/hypersdk --to postgres://hypersdk@db/hypersdk --password-file pw",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := store.PostgresOptions{URL: secret.New(to)}
			if passwordFile != "" {
				text, err := os.ReadFile(passwordFile)
				if err != nil {
					return fault.Wrap(err, fault.Invalid, "HX-CONF-021", "the password file cannot be read", "check the path and the file's permissions")
				}
				o.Password = secret.New(strings.TrimRight(string(text), "\r\n"))
			}
			moved, err := store.MoveToPostgres(cmd.Context(), from, o)
			if err != nil {
				return err
			}
			rows := [][]string{{"TABLE", "ROWS"}}
			for _, m := range moved {
				rows = append(rows, []string{m.Table, strconv.FormatInt(m.Rows, 10)})
			}
			return console.Table(cmd.OutOrStdout(), rows)
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "state directory that holds the SQLite store")
	f.StringVar(&to, "to", "", "postgres://USER@HOST:PORT/DATABASE")
	f.StringVar(&passwordFile, "password-file", "", "file that holds the password (default: PGPASSWORD or PGPASSFILE)")
	_ = c.MarkFlagRequired("from") // it exists
	_ = c.MarkFlagRequired("to")   // it exists
	return c
}
