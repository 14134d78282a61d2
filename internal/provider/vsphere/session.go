package vsphere

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

const (
	// soapWait bounds the wait for the first byte of a SOAP answer. The slowest
	// call is QueryChangedDiskAreas on a large disk.
	soapWait = 5 * time.Minute
	// refusedFor is how long a refused login is remembered: workers that all
	// retry with an outdated password would lock the account.
	refusedFor = 30 * time.Second
	userAgent  = "hypersdk"
)

// login is the one session that everything shares. It is made at the first use,
// kept alive, renewed when vCenter has ended it, and logged out by close.
type login struct {
	cfg       Config
	endpoint  *url.URL
	transport *http.Transport
	log       *slog.Logger
	observer  *Observer

	client     atomic.Pointer[vim25.Client]
	generation atomic.Uint64 // counts logins: who saw an old one need not log in again

	turn    chan struct{} // holds one token: the right to log in
	refused error         // guarded by turn
	until   time.Time     // guarded by turn; refused holds until then

	stop  context.CancelFunc // ends the keep-alive; guarded by turn
	alive sync.WaitGroup
}

func newLogin(cfg Config, log *slog.Logger, observer *Observer) (*login, error) {
	endpoint, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	tc, err := cfg.trust()
	if err != nil {
		return nil, err
	}
	l := &login{
		cfg: cfg, endpoint: endpoint, log: log, observer: observer,
		transport: newTransport(tc, soapWait),
		turn:      make(chan struct{}, 1),
	}
	l.turn <- struct{}{}
	return l, nil
}

// connect returns the client, logged in; it talks to vCenter only the first time.
func (l *login) connect(ctx context.Context) (*vim25.Client, error) {
	if c := l.client.Load(); c != nil {
		return c, nil
	}
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.give()
	if c := l.client.Load(); c != nil {
		return c, nil
	}
	sc := soap.NewClient(l.endpoint, false)
	sc.Transport = l.transport
	sc.UserAgent = userAgent
	c, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, classify(ctx, err, "connect to vCenter at "+l.endpoint.Host)
	}
	c.RoundTripper = &renewing{login: l, next: sc}
	if err := l.authenticate(ctx, c); err != nil {
		return nil, err
	}
	l.client.Store(c)
	l.keepAlive(ctx, c)
	return c, nil
}

// renew logs in again, unless somebody did since the caller saw generation.
func (l *login) renew(ctx context.Context, generation uint64) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	c := l.client.Load()
	if l.generation.Load() != generation || c == nil {
		return nil // done, or closed: the next call finds out
	}
	l.log.InfoContext(ctx, "the vCenter session has expired, logging in again", "vcenter", l.endpoint.Host)
	l.observer.relogin()
	return l.authenticate(ctx, c)
}

// authenticate logs in. The caller holds the turn.
func (l *login) authenticate(ctx context.Context, c *vim25.Client) error {
	if l.refused != nil && time.Now().Before(l.until) {
		return l.refused
	}
	user := url.UserPassword(l.cfg.Username, l.cfg.Password.Reveal())
	err := session.NewManager(c).Login(ctx, user)
	if err != nil {
		err = classify(ctx, err, "log in to vCenter at "+l.endpoint.Host+" as "+l.cfg.Username)
		if vimfault.Is(err, &types.InvalidLogin{}) {
			err = l.hint(err)
			l.refused, l.until = err, time.Now().Add(refusedFor)
		}
		return err
	}
	l.refused = nil
	l.generation.Add(1)
	return nil
}

// hint adds the most common reason for a refused login.
func (l *login) hint(err error) error {
	if strings.ContainsAny(l.cfg.Username, `@\`) {
		return err
	}
	e := *fault.As(err)
	e.Fix = "the user has no domain: try " + l.cfg.Username + "@vsphere.local (or your SSO domain); then check the password"
	return &e
}

// keepAlive calls vCenter at an interval, so that it does not end the session
// while only data moves. It ends with close, not with ctx.
func (l *login) keepAlive(ctx context.Context, c *vim25.Client) {
	ctx, l.stop = context.WithCancel(tracing.Detach(context.WithoutCancel(ctx)))
	l.alive.Go(func() {
		ticker := time.NewTicker(l.cfg.KeepAlive)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if _, err := methods.GetCurrentTime(ctx, c); err != nil && ctx.Err() == nil {
					l.log.WarnContext(ctx, "the vCenter session could not be kept alive", "error", err)
				}
			}
		}
	})
}

// close logs out and frees the connections. Later calls log in again.
func (l *login) close(ctx context.Context) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	defer l.transport.CloseIdleConnections()
	c := l.client.Swap(nil)
	if c == nil {
		return nil
	}
	l.stop()
	l.alive.Wait()
	err := session.NewManager(c).Logout(ctx)
	if err != nil && !vimfault.Is(err, &types.NotAuthenticated{}) {
		return classify(ctx, err, "log out of vCenter")
	}
	return nil
}

func (l *login) take(ctx context.Context) error {
	select {
	case <-l.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *login) give() { l.turn <- struct{}{} }
