// Oidc-issuer is an OpenID Connect issuer: Zitadel's certified library over the
// storage of its example, with the accounts that tests sign in as. Tests use it as
// the other side: other people's code decides what a token and a device grant are.
//
//	oidc-issuer HOST:PORT LIFETIME
//
// LIFETIME is how long the codes of the device grant are good, as 1m.
// It writes its URL to the standard output, and stops when its standard input ends.
// Beside the protocol it has controls, under /test/, for what a test needs of an
// issuer: approve a device (approve, deny), turn the signing key (rotate), sign
// claims of the test's own with the key of the issuer (sign), and tell how often the
// keys were asked for (fetches).
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("usage: oidc-issuer HOST:PORT LIFETIME")
	}
	life, err := time.ParseDuration(os.Args[2])
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", os.Args[1])
	if err != nil {
		return err
	}
	issuer := "http://" + l.Addr().String()
	s, err := newState(storage.NewStorageWithClients(storage.NewUserStore(issuer), map[string]*storage.Client{
		"hyperctl": storage.DeviceClient("hyperctl", ""), "hasty": storage.DeviceClient("hasty", ""),
	}))
	if err != nil {
		return err
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the library's complaints about what tests do wrong on purpose
	provider, err := op.NewProvider(&op.Config{
		CryptoKey: sha256.Sum256([]byte(issuer)), CryptoKeyId: "tokens", GrantTypeRefreshToken: true,
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime: life, PollInterval: time.Second, UserFormPath: "/device", UserCode: op.UserCodeBase20,
		},
	}, s, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	s.control(mux)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		provider.ServeHTTP(w, r)
	})
	mux.Handle("/", provider)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whoever started it is gone
		_ = server.Close()
	}()
	fmt.Println(issuer)
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
