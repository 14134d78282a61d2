package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof" // adds itself to the default mux, too, which nobody serves
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// AdminConfig is a second listener, for who has an account on this machine:
// profiles of the process (/debug/pprof/) and the metrics. It asks for no key.
type AdminConfig struct {
	Listen string `yaml:"listen"` // loopback HOST:PORT; empty: there is none
}

func (c *AdminConfig) check() []string {
	if c.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return []string{fmt.Sprintf("admin.listen: %q is not HOST:PORT", c.Listen)}
	}
	if ip := net.ParseIP(host); (ip == nil || !ip.IsLoopback()) && host != "localhost" {
		return []string{"admin.listen: only a loopback address: whoever reaches it sees into the process"}
	}
	return nil
}

const (
	adminHeader = 5 * time.Second
	adminAnswer = 10 * time.Minute // a profile takes as long as it is asked to
)

// adminDoor is the admin listener at work. nil is none.
type adminDoor struct {
	listener net.Listener
	server   *http.Server
}

func (d *Daemon) openAdmin(ctx context.Context, metrics http.Handler) error {
	if d.cfg.Admin.Listen == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", d.cfg.Admin.Listen)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-CONF-030", "the address "+d.cfg.Admin.Listen+" cannot be listened on", "stop what uses it, or set admin.listen")
	}
	d.admin = &adminDoor{listener: l, server: newAdmin(metrics, d.log)}
	d.log.InfoContext(ctx, "admin", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return nil
}

func (a *adminDoor) serve() error {
	if a == nil {
		return nil
	}
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin listener: %w", err)
	}
	return nil
}

// close is idempotent. Who takes a profile is cut off.
func (a *adminDoor) close() error {
	if a == nil {
		return nil
	}
	err := a.server.Close()
	if cerr := a.listener.Close(); !errors.Is(cerr, net.ErrClosed) { // it was never served
		err = errors.Join(err, cerr)
	}
	return err
}

// newAdmin makes the server of the admin listener.
func newAdmin(metrics http.Handler, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	local := auth.NewLoopback(tenant.NewPrincipal(tenant.Default, "local"))
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := local.Authenticate(r); err != nil { // a page in a browser pointed a name of its own here
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			mux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: adminHeader, ReadTimeout: adminHeader, WriteTimeout: adminAnswer, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
