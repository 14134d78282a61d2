//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	engines "github.com/hypersdk/hypersdk/internal/daemon"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// The crash test of the engine runs this test binary again as a process that is
// hypervisord without a hypervisor: the same store, queue, dispatcher, service
// and REST door, and an executor that does nothing but append to a file that it
// was at work.
const crashDir = "HYPERSDK_E2E_CRASH_DIR"

// crashSocket is where the engine in a directory listens.
func crashSocket(dir string) string { return filepath.Join(dir, "api.sock") }

// ranLog is the file to which each run appends the id of its job.
func ranLog(dir string) string { return filepath.Join(dir, "ran") }

// crashChild takes over the process if it is such an engine.
func crashChild() {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return
	}
	fmt.Fprintln(os.Stderr, fault.Detail(serveEngine(context.Background(), dir)))
	os.Exit(1)
}

// appender is the executor.
type appender struct{ file *os.File }

// Run implements dispatch.Runner.
func (a appender) Run(_ context.Context, t dispatch.Task) (job.Outcome, error) {
	_, err := a.file.WriteString(t.Job.ID + "\n") // one write: lines do not mix
	return job.Outcome{}, err
}

// Cleanup implements dispatch.Runner.
func (appender) Cleanup(context.Context, dispatch.Task) error { return nil }

// nowhere is a provider that no job gets to.
type nowhere struct{ provider.Provider }

// Close implements provider.Provider.
func (nowhere) Close(context.Context) error { return nil }

func serveEngine(ctx context.Context, dir string) error {
	file, err := os.OpenFile(ranLog(dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	engine, err := engines.NewEngine(ctx, engines.EngineConfig{
		StateDir: filepath.Join(dir, "state"), Roots: []string{filepath.Join(dir, "exports")}, Workers: 8,
		Providers: map[string]provider.Provider{"vsphere": nowhere{}}, Log: log,
		Wrap: func(dispatch.Runner) dispatch.Runner { return appender{file} },
	})
	if err != nil {
		return err
	}
	api, err := rest.New(ctx, rest.Deps{
		Service: engine.Service, Inventory: engine, Log: log, Version: "test",
		Gate: gate.New(auth.NewLoopback(tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...)), nil),
	})
	if err != nil {
		return err
	}
	if err := os.Remove(crashSocket(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", crashSocket(dir)) //nolint:noctx // at the start of a process
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- engine.Run(ctx) }()
	go func() { ended <- serve(rest.NewServer(api, log), l) }()
	fmt.Println("ready")
	return <-ended
}

func serve(s *http.Server, l net.Listener) error { return s.Serve(l) }
