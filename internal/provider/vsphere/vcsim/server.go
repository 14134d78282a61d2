package vcsim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Server is a running simulated vCenter with its ESXi data plane. All methods
// may be called concurrently. Close ends it; nothing survives a Close unless
// Options.Dir was given, and then only files.
type Server struct {
	opts     Options
	dir      string
	keepDir  bool
	service  *simulator.Service
	registry *simulator.Registry
	client   *vim25.Client // in process, unlimited
	estate   estate
	sessions *sessions
	faults   *Faults
	stats    *stats
	streams  *streams

	adding        sync.Mutex // one AddVM at a time: the simulator races on free space
	vcenter, host *endpoint
	transfers     sync.WaitGroup     // requests that read disks
	stop          context.CancelFunc // ends stalled responses and lease clocks
	done          context.Context    //nolint:containedctx // the server's own life, not a caller's

	mu      sync.Mutex
	images  map[string]*image // by the datastore path of the base descriptor
	markers map[string]string // serial line of bootable guests, by VM path
	leases  map[types.ManagedObjectReference]*lease
	made    map[types.ManagedObjectReference]taken // snapshots that clients took
	layouts map[types.ManagedObjectReference]fileKeys
	busy    map[string]int // NFC streams by host
	refused int            // streams beyond what a host serves
}

// Start builds the inventory and serves it. ctx bounds the building only; end
// the server with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts = opts.withDefaults()
	s := &Server{
		opts: opts, dir: opts.Dir, keepDir: opts.Dir != "",
		faults:  newFaults(),
		stats:   newStats(),
		images:  make(map[string]*image),
		markers: make(map[string]string),
		leases:  make(map[types.ManagedObjectReference]*lease),
		made:    make(map[types.ManagedObjectReference]taken),
		layouts: make(map[types.ManagedObjectReference]fileKeys),
		busy:    make(map[string]int),
	}
	s.done, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.makeDirs(); err != nil {
		return err
	}
	s.streams = newStreams(s.done, filepath.Join(s.dir, streamsDir))
	if err := s.found(ctx); err != nil {
		return err
	}
	for _, v := range s.opts.VMs {
		if err := s.AddVM(ctx, v); err != nil {
			return err
		}
	}
	for i := range s.opts.Filler {
		v := VM{Path: fmt.Sprintf("Filler/filler-%05d", i+1), Disks: []Disk{{Size: 1 << 20}}}
		if err := s.AddVM(ctx, v); err != nil {
			return err
		}
	}
	s.disguise()
	return s.serve()
}

// found makes the vCenter with what machines live on.
func (s *Server) found(ctx context.Context) error {
	founding.Lock()
	defer founding.Unlock()
	s.service = newVCenter(s.dir)
	s.registry = s.service.Context.Map
	s.sessions = newSessions(s.registry, s.opts.Username, s.opts.SessionIdle)
	client, err := vim25.NewClient(ctx, s.service)
	if err != nil {
		return fmt.Errorf("start vCenter simulator: %w", err)
	}
	s.client = client
	return s.build(ctx)
}

// The directories in Options.Dir.
const (
	streamsDir    = "streams"
	datastoresDir = "datastores"
)

func (s *Server) makeDirs() error {
	const fix = "name another directory with --dir"
	if !s.keepDir {
		dir, err := os.MkdirTemp("", "hx-vcsim-")
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, codeDir, "the simulated vCenter cannot make a temporary directory", fix)
		}
		s.dir = dir
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fault.Wrap(err, fault.Unprocessable, codeDir, "the simulated vCenter cannot use "+s.dir, fix)
	}
	for _, name := range []string{streamsDir, datastoresDir} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o700); err != nil {
			return fault.Wrap(err, fault.Conflict, codeDir,
				fmt.Sprintf("the simulated vCenter cannot make %q in %s: another one may have been there", name, s.dir), fix)
		}
	}
	return nil
}

// Codes of the errors that a user of the simulator can cause.
const (
	codeDir    = "HX-SIM-001"
	codeListen = "HX-SIM-002"
	codeVM     = "HX-SIM-003"
)

// serve opens the two listeners.
func (s *Server) serve() error {
	s.service.RegisterSDK(s.registry, s.registry.Path+"/vimService")
	s.service.ServeMux.HandleFunc(s.registry.Path+"/vimServiceVersions.xml", s.service.ServiceVersions)
	s.service.ServeMux.HandleFunc("/about", s.service.About)
	s.hook()

	vcenter, err := listen(s.opts.Listen)
	if err != nil {
		return err
	}
	s.vcenter = vcenter
	host, err := listen(s.opts.HostListen)
	if err != nil {
		return err
	}
	s.host = host
	s.service.Listen = &url.URL{
		Scheme: scheme, Host: vcenter.addr, Path: s.registry.Path,
		User: url.UserPassword(s.opts.Username, s.opts.Password),
	}
	s.registry.SessionManager().ServiceHostName = vcenter.addr
	vcenter.start(s.vcenterMux())
	host.start(s.hostMux())
	return nil
}

// Close ends the server, cuts every connection and removes the temporary
// directory. It is idempotent.
func (s *Server) Close() error {
	s.stop()
	var errs []error
	for _, e := range []*endpoint{s.vcenter, s.host} {
		if e != nil {
			errs = append(errs, e.close())
		}
	}
	s.transfers.Wait()
	if s.streams != nil {
		s.streams.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.leases {
		l.clock.Stop()
	}
	for name, m := range s.images {
		errs = append(errs, m.close())
		delete(s.images, name)
	}
	if !s.keepDir && s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// context makes a simulator context of the server itself. The simulator's
// locks belong to contexts, so every operation takes its own.
func (s *Server) context() *simulator.Context {
	c := *s.service.Context
	return &c
}

// URL returns the vCenter's SDK address without credentials.
func (s *Server) URL() *url.URL {
	return &url.URL{Scheme: scheme, Host: s.vcenter.addr, Path: s.registry.Path}
}

// Username returns the only valid user.
func (s *Server) Username() string { return s.opts.Username }

// Password returns the user's password.
func (s *Server) Password() string { return s.opts.Password }

// CACert returns the vCenter's self-signed certificate as PEM.
func (s *Server) CACert() []byte { return s.vcenter.pem }

// Thumbprint returns the SHA-1 thumbprint of the vCenter's certificate, as
// GOVC_TLS_KNOWN_HOSTS and the vSphere API write it: "AA:BB:…".
func (s *Server) Thumbprint() string { return s.vcenter.thumbprint }

// Marker returns the line that the guest of a bootable VM prints on its serial
// console when its disk is unharmed, or "".
func (s *Server) Marker(vmPath string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.markers[relative(vmPath)]
}

// vcenterMux serves what a vCenter serves.
func (s *Server) vcenterMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.service.ServeMux)
	mux.HandleFunc(s.registry.Path, s.serveSDK)
	mux.Handle("/folder/", s.transfer(s.serveFolder))
	mux.Handle("/nfc/", s.transfer(s.serveNFC)) // for device URLs with "*"
	return mux
}

// hostMux serves what an ESXi host serves.
func (s *Server) hostMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/nfc/", s.transfer(s.serveNFC))
	return mux
}

// transfer makes Close wait for a handler.
func (s *Server) transfer(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.transfers.Add(1)
		defer s.transfers.Done()
		h(w, r)
	})
}
