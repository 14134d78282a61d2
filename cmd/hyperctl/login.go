package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

// access is how the flags say to reach the daemon.
func (c *ctl) access() console.Access {
	return console.Access{Server: c.server, KeyFile: c.keyFile, CAFile: c.caFile, CertFile: c.certFile, CertKeyFile: c.certKeyFile}
}

func loginCommand(c *ctl) *cobra.Command {
	var l console.Login
	cmd := &cobra.Command{
		Use: "login", Short: "Sign in at the daemon's OpenID Connect issuer", Args: cobra.NoArgs,
		Long: `Login asks the daemon where to sign in, shows an address and a code to enter there in
a browser (on any machine), waits for it, and keeps the tokens in a file of mode 0600
under the user's configuration directory. The commands after it use and renew them,
hyperexport --server too, unless an API key or a client certificate is given.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.access().Login(cmd.Context(), l, c.err); err != nil {
				return err
			}
			d, err := c.access().ConnectByLogin()
			if err != nil {
				return err
			}
			return c.whoami(cmd.Context(), d)
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.Issuer, "issuer", "", "URL of the issuer (default: what the daemon says)")
	f.StringVar(&l.ClientID, "client-id", "", "as which client to ask for the tokens (default: what the daemon says)")
	f.StringSliceVar(&l.Scopes, "scope", nil, "what to ask for (default: what the daemon says)")
	return cmd
}

func logoutCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget the login, here and at the issuer", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := c.access().Logout(cmd.Context())
			if err != nil {
				return err
			}
			text := "logged out"
			if !found {
				text = "nobody was logged in"
			}
			_, err = fmt.Fprintln(c.out, text)
			return err
		},
	}
}

func whoamiCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who you are to the daemon", Args: cobra.NoArgs,
		RunE: c.do(func(ctx context.Context, d *client.Client, _ []string) error { return c.whoami(ctx, d) }),
	}
}

func (c *ctl) whoami(ctx context.Context, d *client.Client) error {
	who, err := d.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return c.encode(who)
	}
	return console.Table(c.out, console.Show(who))
}
