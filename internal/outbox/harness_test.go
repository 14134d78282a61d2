package outbox_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/egress"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := pgtest.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// world is a service on a real store with an outbox.
type world struct {
	*testing.T
	store *store.Store
	svc   *service.Service
	key   *seal.Key
	us    tenant.Principal
	hooks outbox.Hooks
	node  string
}

type anything struct{}

func (anything) Validate(context.Context, job.Spec) error { return nil }

func newWorld(t *testing.T, o store.Options) *world {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Synchronous = store.Off
	w := &world{T: t, node: "n1", us: tenant.NewPrincipal(tenant.Default, "us", tenant.All()...)}
	var err error
	w.store, err = store.Open(t.Context(), o)
	w.must(err)
	t.Cleanup(func() { w.must(w.store.Close()) })
	w.key, err = seal.New(make([]byte, 32))
	w.must(err)
	w.svc = service.New(w.store, service.Deps{Validator: anything{}, Feed: w.store, Seal: w.key})
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(fault.Detail(err))
	}
}

// run works with an outbox until stop.
func (w *world) run(c *http.Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b := outbox.New(w.store, outbox.Options{Node: w.node, Key: w.key, Client: c, Agent: "hypervisord/test", Hooks: w.hooks, Log: slog.New(slog.DiscardHandler)})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	wg.Go(func() {
		if err := w.store.RunSequencer(ctx, slog.New(slog.DiscardHandler)); err != nil {
			w.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (w *world) create(d webhook.Definition) service.NewWebhook {
	w.Helper()
	made, err := w.svc.CreateWebhook(w.Context(), w.us, d)
	w.must(err)
	return made
}

// cancel submits a job and cancels it: two events.
func (w *world) cancel(s job.Spec) job.Job {
	w.Helper()
	s.OutputPath = "x"
	r, err := w.svc.Submit(w.Context(), w.us, []job.Spec{s}, service.SubmitOptions{})
	w.must(err)
	_, err = w.svc.Cancel(w.Context(), w.us, r.Jobs[0].ID, "")
	w.must(err)
	return r.Jobs[0]
}

func (w *world) deliveries(ref string, state webhook.State) []webhook.Delivery {
	w.Helper()
	page, err := w.svc.Deliveries(w.Context(), w.us, ref, state, 100, "")
	w.must(err)
	return page.Items
}

// eventually asks until cond holds.
func (w *world) eventually(what string, cond func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !cond(); <-tick.C {
		if time.Now().After(end) {
			w.Fatal("still waiting: ", what)
		}
	}
}

// events lists the kinds of the tenant's events that are about webhooks.
func (w *world) events() (kinds []string) {
	w.Helper()
	scope, err := w.us.Scope(tenant.WebhookRead)
	w.must(err)
	all, err := w.store.Reader(scope).EventsSince(w.Context(), time.Unix(0, 0), 0, 1000)
	w.must(err)
	for _, e := range all {
		if len(e.Kind) > 8 && e.Kind[:8] == "webhook." {
			kinds = append(kinds, string(e.Kind[8:]))
		}
	}
	return kinds
}

// got is a request that a receiver saw.
type got struct {
	id, body string
	header   http.Header
	path     string
}

// receiver answers by a rule and keeps what it saw.
type receiver struct {
	mu   sync.Mutex
	rule func(n int, w http.ResponseWriter, r *http.Request) // n from 1; nil: 204
	seen []got
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.seen = append(r.seen, got{id: req.Header.Get("Webhook-Id"), body: string(body), header: req.Header.Clone(), path: req.URL.Path})
	n, rule := len(r.seen), r.rule
	r.mu.Unlock()
	if rule == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	rule(n, w, req)
}

func (r *receiver) all() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func (r *receiver) count() int { return len(r.all()) }

// set changes the rule.
func (r *receiver) set(rule func(n int, w http.ResponseWriter, r *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rule = rule
}

func status(code int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// serve runs a receiver over TCP.
func (w *world) serve(r *receiver) string {
	s := httptest.NewServer(r)
	w.Cleanup(s.Close)
	return s.URL
}

func loopback() *http.Client {
	return egress.Policy{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}.Client()
}

// verify asks the published library.
func (w *world) verify(secret string, g got) error {
	w.Helper()
	v, err := standardwebhooks.NewWebhook(secret)
	w.must(err)
	return v.Verify([]byte(g.body), g.header)
}

var kindCancelled = string(event.Cancelled)
