package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

const mediaJSON = "application/json"

// The parts that the document sorts operations into.
var (
	tagJobs   = []string{"jobs"}
	tagVMs    = []string{"vms"}
	tagDaemon = []string{"daemon"}

	tagTenants = []string{"tenants"}
)

// The ways to send the API key.
const (
	schemeBearer = "bearer"
	schemeAPIKey = "api_key"

	schemeSession = "session"
)

// newHuma sets huma up: no pages loaded from elsewhere, no $schema in bodies,
// unknown query parameters refused, every error a Problem.
func newHuma(a *API) huma.API {
	c := huma.DefaultConfig("hypervisord", a.deps.Version)
	c.Info.Description = "Gets virtual machines out of a hypervisor, and proves it. Sizes are bytes, durations seconds, times RFC 3339 in UTC. " +
		"Every error is application/problem+json with a stable code and a fix."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{a.transform}
	format := huma.Format{Marshal: encode, Unmarshal: json.Unmarshal}
	c.Formats = map[string]huma.Format{mediaJSON: format, "json": format} // the second for …+json
	c.Components.Schemas = newRegistry()
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		schemeBearer: {Type: "http", Scheme: "bearer", Description: "The API key, or a token of the issuer that /auth/config names"},
		schemeAPIKey: {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "The API key"},
	}
	if a.deps.Sessions != nil {
		c.Components.SecuritySchemes[schemeSession] = &huma.SecurityScheme{
			Type: "apiKey", In: "cookie", Name: "__Host-hypervisord", Description: "A session (POST /session); without TLS the cookie is hypervisord. Changes need the header " + auth.HeaderCSRF,
		}
	}
	return humago.New(a.mux, c)
}

// newRegistry gives the schemas names of their own and the enums their values.
func newRegistry() huma.Registry {
	names := map[reflect.Type]string{
		reflect.TypeFor[event.Data]():            "EventData",
		reflect.TypeFor[tenant.Origin]():         "EventOrigin",
		reflect.TypeFor[schedule.Definition]():   "ScheduleSpec",
		reflect.TypeFor[schedule.Run]():          "ScheduleRun",
		reflect.TypeFor[tenant.Key]():            "APIKey",
		reflect.TypeFor[tenant.Usage]():          "UsageMonth",
		reflect.TypeFor[webhook.Definition]():    "WebhookSpec",
		reflect.TypeFor[webhook.Retry]():         "WebhookRetry",
		reflect.TypeFor[webhook.BreakerPolicy](): "WebhookBreaker",
		reflect.TypeFor[webhook.Health]():        "WebhookHealth",
		reflect.TypeFor[webhook.SecretInfo]():    "WebhookSecret",
		reflect.TypeFor[webhook.Attempt]():       "DeliveryAttempt",
		reflect.TypeFor[receipt.VM]():            "ReceiptVM",
		reflect.TypeFor[receipt.Disk]():          "ReceiptDisk",
		reflect.TypeFor[receipt.File]():          "ReceiptFile",
	}
	r := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		of := t
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if name, ok := names[of]; ok {
			return name
		}
		return huma.DefaultSchemaNamer(t, hint)
	})
	r.RegisterTypeAlias(reflect.TypeFor[job.State](), reflect.TypeFor[stateSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[job.Priority](), reflect.TypeFor[prioritySchema]())
	r.RegisterTypeAlias(reflect.TypeFor[tenant.Role](), reflect.TypeFor[roleSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[job.Bandwidth](), reflect.TypeFor[bandwidthSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[job.StepStatus](), reflect.TypeFor[stepStatusSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[job.Names](), reflect.TypeFor[namesSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[job.When](), reflect.TypeFor[whenSchema]())
	return r
}

type stateSchema string

// Schema lists the states.
func (stateSchema) Schema(huma.Registry) *huma.Schema { return enum(job.StateNames()) }

type prioritySchema string

// Schema lists the priorities.
func (prioritySchema) Schema(huma.Registry) *huma.Schema { return enum(job.PriorityNames()) }

type roleSchema string

// Schema lists the roles.
func (roleSchema) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, r := range tenant.Roles() {
		s.Enum = append(s.Enum, string(r))
	}
	return s
}

type bandwidthSchema string

// Schema describes a rate: a text, or a number of bytes per second.
func (bandwidthSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "Bytes per second: 50MB, 50MiB, a number, or unlimited",
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}},
	}
}

type stepStatusSchema string

// Schema lists the states of a step.
func (stepStatusSchema) Schema(huma.Registry) *huma.Schema { return enum(job.StepStatusNames()) }

type namesSchema struct{}

// Schema is a list of ids; a request may hold a single one as a text.
func (namesSchema) Schema(huma.Registry) *huma.Schema {
	one := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{OneOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one}}}
}

type whenSchema string

// Schema lists the conditions of a step.
func (whenSchema) Schema(huma.Registry) *huma.Schema { return enum("success, failure, always") }

func enum(names string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for name := range strings.SplitSeq(names, ", ") {
		s.Enum = append(s.Enum, name)
	}
	return s
}

// withProblem documents how an operation fails.
func withProblem(r huma.Registry, responses map[string]*huma.Response) map[string]*huma.Response {
	if responses == nil {
		responses = map[string]*huma.Response{}
	}
	responses["default"] = &huma.Response{
		Description: "Why it was not done",
		Headers: map[string]*huma.Param{
			"WWW-Authenticate": {Description: "How to say who calls (401)", Schema: &huma.Schema{Type: huma.TypeString}},
			"Retry-After":      {Description: "Seconds to wait (429, 503)", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		Content: map[string]*huma.MediaType{problemType: {Schema: r.Schema(reflect.TypeFor[Problem](), true, "")}},
	}
	return responses
}

// textResponse documents an answer that is not JSON.
func textResponse(description string, contentTypes ...string) *huma.Response {
	content := map[string]*huma.MediaType{}
	for _, ct := range contentTypes {
		content[ct] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return &huma.Response{Description: description, Content: content}
}

// routeDocument serves the document. It comes last: it holds all routes.
func (a *API) routeDocument() error {
	doc := a.huma.OpenAPI()
	doc.AddOperation(&huma.Operation{
		OperationID: "openapi", Method: http.MethodGet, Path: "/openapi.json", Tags: tagDaemon, Summary: "This document",
		Responses: withProblem(doc.Components.Schemas, map[string]*huma.Response{"200": {
			Description: "OpenAPI 3.1",
			Content:     map[string]*huma.MediaType{mediaJSON: {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
		}}),
	})
	if a.deps.Metrics != nil {
		doc.AddOperation(&huma.Operation{
			OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Tags: tagDaemon, Summary: "Metrics for Prometheus",
			Responses: withProblem(doc.Components.Schemas, map[string]*huma.Response{"200": textResponse("The exposition format that the scraper accepts", "text/plain", "application/openmetrics-text")}),
		})
		a.mux.Handle("GET /metrics", a.deps.Metrics)
	}
	delete(doc.Components.Schemas.Map(), "ErrorModel") // huma's, nowhere used
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaJSON)
		_, _ = w.Write(body) // the client is gone: nobody to tell
	})
	return nil
}
