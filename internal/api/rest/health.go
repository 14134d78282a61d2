package rest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// HealthCheck looks at one part of the daemon. It should return when ctx is
// done, and then say itself how bad that is; one that does not return counts as
// unhealthy, and is not begun anew until it does.
type HealthCheck func(ctx context.Context) Check

// Check is what a HealthCheck found.
type Check struct {
	Status  Condition `json:"status"`
	Message string    `json:"message,omitempty" doc:"Only who may call the API sees it"`
	Latency float64   `json:"latency_ms" doc:"How long the check took"` // 0: the door measures it
}

// Condition of a part or the whole, worst last.
type Condition string

// The conditions. Unhealthy takes the daemon out of service (503); degraded does
// not.
const (
	Healthy   Condition = "healthy"
	Degraded  Condition = "degraded"
	Unhealthy Condition = "unhealthy"
)

var conditions = []Condition{Healthy, Degraded, Unhealthy}

// Schema lists the conditions.
func (Condition) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{Healthy, Degraded, Unhealthy}}
}

// Health is the state of the daemon: the worst of its checks.
type Health struct {
	Status    Condition        `json:"status"`
	Version   string           `json:"version"`
	Uptime    float64          `json:"uptime_seconds"`
	Timestamp time.Time        `json:"timestamp"`
	Checks    map[string]Check `json:"checks"`
}

// checkTime is the budget of all checks together: they run at once. checkGrace
// is what they may take beyond it to say that they ran out of time.
const (
	checkTime  = time.Second
	checkGrace = 250 * time.Millisecond
)

func (a *API) routeHealth() {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Health](), true, "")
	register(a, huma.Operation{
		OperationID: "get_health", Method: http.MethodGet, Path: "/health", Tags: tagDaemon, Summary: "The state of each part",
		Description: "For people and monitoring. Let an orchestrator ask /livez and /readyz. Without a credential the messages are left out.",
		Middlewares: huma.Middlewares{a.peek}, Responses: map[string]*huma.Response{"503": {
			Description: "Unhealthy", Content: map[string]*huma.MediaType{mediaJSON: {Schema: schema}},
		}},
	}, a.getHealth)
	register(a, huma.Operation{
		OperationID: "get_livez", Method: http.MethodGet, Path: "/livez", Tags: tagDaemon, Summary: "Whether the process answers; nothing else is looked at",
		Responses: map[string]*huma.Response{"200": textResponse("It does", textPlain)},
	}, func(context.Context, *struct{}) (*textOutput, error) { return text(http.StatusOK, "ok\n"), nil })
	register(a, huma.Operation{
		OperationID: "get_readyz", Method: http.MethodGet, Path: "/readyz", Tags: tagDaemon, Summary: "Whether requests should be sent here",
		Description: "The database takes changes, no part is unhealthy, and the daemon does not stop.",
		Middlewares: huma.Middlewares{a.peek}, Responses: map[string]*huma.Response{
			"200": textResponse("They should", textPlain), "503": textResponse("They should not: the daemon stops, or a part is unhealthy", textPlain),
		},
	}, a.getReadyz)
	register(a, huma.Operation{
		OperationID: "get_startupz", Method: http.MethodGet, Path: "/startupz", Tags: tagDaemon, Summary: "Whether the start is over",
		Description: "It is from the first moment on at which no part is unhealthy. What goes wrong later is the matter of /readyz.",
		Responses: map[string]*huma.Response{
			"200": textResponse("It is", textPlain), "503": textResponse("It is not", textPlain),
		},
	}, a.getStartupz)
}

// knownKey carries over the one hop to the handler whether the caller may see
// details.
type knownKey struct{}

// peek finds out whether somebody asks who may call the API.
func (a *API) peek(hc huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(hc)
	next(huma.WithValue(hc, knownKey{}, a.deps.Gate == nil || a.deps.Gate.Peek(r)))
}

// told leaves the messages out for a stranger: they name hosts and numbers.
func told(ctx context.Context, h Health) Health {
	if known, _ := ctx.Value(knownKey{}).(bool); known {
		return h
	}
	for name, c := range h.Checks {
		c.Message = ""
		h.Checks[name] = c
	}
	return h
}

func (a *API) getStartupz(ctx context.Context, _ *struct{}) (*textOutput, error) {
	if !a.up.Load() {
		if a.examine(ctx).Status == Unhealthy {
			return text(http.StatusServiceUnavailable, "starting\n"), nil
		}
		a.up.Store(true)
	}
	return text(http.StatusOK, "ok\n"), nil
}

const textPlain = "text/plain; charset=utf-8"

type healthOutput struct {
	Status int
	Body   Health
}

func (a *API) getHealth(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	out := &healthOutput{Status: http.StatusOK, Body: told(ctx, a.examine(ctx))}
	if out.Body.Status == Unhealthy {
		out.Status = http.StatusServiceUnavailable
	}
	return out, nil
}

type textOutput struct {
	Status      int
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

func text(status int, body string) *textOutput {
	return &textOutput{Status: status, ContentType: textPlain, Body: []byte(body)}
}

type readyInput struct {
	Verbose string `query:"verbose" doc:"Any value: list the checks"`
	verbose bool
}

// Resolve notices a bare ?verbose.
func (in *readyInput) Resolve(hc huma.Context) []error {
	u := hc.URL()
	in.verbose = u.Query().Has("verbose")
	return nil
}

func (a *API) getReadyz(ctx context.Context, in *readyInput) (*textOutput, error) {
	health := told(ctx, a.examine(ctx))
	if a.closing() {
		health.Status = Unhealthy
		health.Checks["shutdown"] = Check{Status: Unhealthy, Message: "the daemon stops"}
	}
	ready := health.Status != Unhealthy
	var b strings.Builder
	if in.verbose || !ready {
		for _, name := range slices.Sorted(maps.Keys(health.Checks)) {
			c := health.Checks[name]
			mark := "+"
			if c.Status == Unhealthy {
				mark = "-"
			}
			fmt.Fprintf(&b, "[%s] %s: %s\n", mark, name, strings.TrimSpace(string(c.Status)+" "+c.Message))
		}
	}
	if !ready {
		b.WriteString("not ready\n")
		return text(http.StatusServiceUnavailable, b.String()), nil
	}
	b.WriteString("ok\n")
	return text(http.StatusOK, b.String()), nil
}

// examine runs all checks at once.
func (a *API) examine(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, checkTime+checkGrace)
	defer cancel()
	found := make([]Check, len(a.probes))
	var all sync.WaitGroup
	for i, p := range a.probes {
		all.Go(func() { found[i] = p.run(ctx) })
	}
	all.Wait()
	h := Health{
		Status: Healthy, Version: a.deps.Version, Uptime: time.Since(a.started).Seconds(),
		Timestamp: time.Now().UTC(), Checks: make(map[string]Check, len(found)),
	}
	for i, c := range found {
		h.Checks[a.probes[i].name] = c
		if slices.Index(conditions, c.Status) > slices.Index(conditions, h.Status) {
			h.Status = c.Status
		}
	}
	return h
}

// probe runs one check, one at a time: a check that hangs (a dead NFS server
// answers no statfs) costs one goroutine, however often it is asked for.
type probe struct {
	name  string
	check HealthCheck
	busy  chan struct{}
	log   *slog.Logger
}

func newProbes(checks map[string]HealthCheck, log *slog.Logger) []probe {
	probes := make([]probe, 0, len(checks))
	for name, check := range checks {
		probes = append(probes, probe{name: name, check: check, busy: make(chan struct{}, 1), log: log})
	}
	return probes
}

func (p probe) run(ctx context.Context) Check {
	begin := time.Now()
	c := p.await(ctx)
	if c.Latency == 0 {
		c.Latency = float64(time.Since(begin).Microseconds()) / 1000
	}
	return c
}

func (p probe) await(ctx context.Context) Check {
	hangs := Check{Status: Unhealthy, Message: "no answer within " + checkTime.String()}
	select {
	case p.busy <- struct{}{}:
	case <-ctx.Done():
		return hangs
	}
	answer := make(chan Check, 1)
	go func() {
		defer func() { <-p.busy }()
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		c := Check{Status: Unhealthy, Message: "the check went wrong: see the daemon's log"}
		if err := fault.Protect(func() error { c = p.check(ctx); return nil }); err != nil {
			p.log.LogAttrs(ctx, slog.LevelError, "a health check went wrong", slog.String("check", p.name), slog.String("error", fault.Detail(err)))
		}
		answer <- c
	}()
	select {
	case c := <-answer:
		return c
	case <-ctx.Done():
		return hangs
	}
}
