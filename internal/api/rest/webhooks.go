package rest

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

var tagWebhooks = []string{"webhooks"}

func (a *API) routeWebhooks() {
	private(a, huma.Operation{
		OperationID: "list_webhooks", Method: http.MethodGet, Path: "/webhooks", Tags: tagWebhooks, Summary: "List webhooks, by name",
	}, a.listWebhooks)
	a.webhookBody(huma.Operation{
		OperationID: "create_webhook", Method: http.MethodPost, Path: "/webhooks", Summary: "Create a webhook",
		Description: "Events from now on are for it. The answer shows the signing secret, once.", DefaultStatus: http.StatusCreated,
	}, func(op huma.Operation) { private(a, op, a.createWebhook) })
	private(a, huma.Operation{
		OperationID: "get_webhook", Method: http.MethodGet, Path: "/webhooks/{id}", Tags: tagWebhooks, Summary: "Get a webhook with the health of its endpoint",
	}, func(ctx context.Context, p tenant.Principal, in *webhookInput) (*webhookOutput, error) {
		return answerWebhook(a.deps.Service.Webhook(ctx, p, in.ID))
	})
	a.webhookBody(huma.Operation{
		OperationID: "set_webhook", Method: http.MethodPut, Path: "/webhooks/{id}", Summary: "Replace the definition of a webhook",
		Description: "A url that is absent, or as it is shown, stays. The endpoint starts afresh, with a closed circuit breaker.",
	}, func(op huma.Operation) { private(a, op, a.setWebhook) })
	private(a, huma.Operation{
		OperationID: "delete_webhook", Method: http.MethodDelete, Path: "/webhooks/{id}", Tags: tagWebhooks, Summary: "Delete a webhook and what waits",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, p tenant.Principal, in *webhookInput) (*struct{}, error) {
		return nil, a.deps.Service.DeleteWebhook(ctx, p, in.ID)
	})
	a.routeWebhookVerbs()
	a.routeDeliveries()
}

func (a *API) routeWebhookVerbs() {
	private(a, huma.Operation{
		OperationID: "enable_webhook", Method: http.MethodPost, Path: "/webhooks/{id}/enable", Tags: tagWebhooks, Summary: "Enable a webhook",
		Description: "What waits is sent, and events from now on; those in between by a replay. Safe to repeat.",
	}, func(ctx context.Context, p tenant.Principal, in *webhookInput) (*webhookOutput, error) {
		return answerWebhook(a.deps.Service.EnableWebhook(ctx, p, in.ID))
	})
	private(a, huma.Operation{
		OperationID: "disable_webhook", Method: http.MethodPost, Path: "/webhooks/{id}/disable", Tags: tagWebhooks, Summary: "Disable a webhook",
		Description: "What waits is kept. Safe to repeat.",
	}, func(ctx context.Context, p tenant.Principal, in *webhookInput) (*webhookOutput, error) {
		return answerWebhook(a.deps.Service.DisableWebhook(ctx, p, in.ID))
	})
	private(a, huma.Operation{
		OperationID: "rotate_webhook", Method: http.MethodPost, Path: "/webhooks/{id}/rotate", Tags: tagWebhooks, Summary: "Make a new signing secret",
		Description: "The answer shows it, once. The others sign, too, until the end of the overlap.", DefaultStatus: http.StatusCreated,
	}, a.rotateWebhook)
	private(a, huma.Operation{
		OperationID: "test_webhook", Method: http.MethodPost, Path: "/webhooks/{id}/test", Tags: tagWebhooks, Summary: "Send a test",
		Description:   "It takes the way of all deliveries, before those that wait; an open circuit breaker lets it through. It is not tried again. Ask for the delivery to see what came of it.",
		DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, p tenant.Principal, in *webhookInput) (*deliveryOutput, error) {
		return answerDelivery(a.deps.Service.TestWebhook(ctx, p, in.ID))
	})
	private(a, huma.Operation{
		OperationID: "replay_webhook", Method: http.MethodPost, Path: "/webhooks/{id}/replay", Tags: tagWebhooks, Summary: "Send past events again",
		Description:   "All events since a time that the webhook wants, with the ids that they had. Those that wait stay as they are.",
		DefaultStatus: http.StatusAccepted,
	}, a.replayWebhook)
}

// webhookBody documents a body that job.Decode reads.
func (a *API) webhookBody(op huma.Operation, register func(huma.Operation)) {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[webhook.Definition](), true, "")
	op.Tags, op.SkipValidateBody = tagWebhooks, true
	op.RequestBody = &huma.RequestBody{
		Description: "Unknown keys are refused by name.",
		Content:     map[string]*huma.MediaType{mediaJSON: {Schema: schema}, "application/yaml": {Schema: schema}},
	}
	body := op.RequestBody
	register(op)
	delete(body.Content, "application/octet-stream") // what huma makes of RawBody
}

type webhookInput struct {
	ID string `path:"id" doc:"The webhook's id or name"`
}

type webhookOutput struct {
	Body webhook.Webhook
}

func answerWebhook(w webhook.Webhook, err error) (*webhookOutput, error) {
	if err != nil {
		return nil, err
	}
	return &webhookOutput{w}, nil
}

type webhooksInput struct {
	Limit  int    `query:"limit" doc:"Webhooks on a page" minimum:"1" maximum:"100" default:"50"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

type webhooksOutput struct {
	Body WebhookList
}

// WebhookList is one page of webhooks.
type WebhookList struct {
	Items      []webhook.Webhook `json:"items" nullable:"false"`
	NextCursor string            `json:"next_cursor,omitempty" doc:"Absent on the last page"`
}

func (a *API) listWebhooks(ctx context.Context, p tenant.Principal, in *webhooksInput) (*webhooksOutput, error) {
	page, err := a.deps.Service.Webhooks(ctx, p, in.Limit, in.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []webhook.Webhook{}
	}
	return &webhooksOutput{WebhookList{Items: page.Items, NextCursor: page.NextCursor}}, nil
}

type createWebhookInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

type newWebhookOutput struct {
	Location string `header:"Location" doc:"The webhook"`
	Body     NewWebhook
}

// NewWebhook is the answer that shows a signing secret, once.
type NewWebhook struct {
	Secret  string          `json:"secret" doc:"Verifies signatures: keep it, it is not shown again"`
	Webhook webhook.Webhook `json:"webhook"`
}

func newWebhookAnswer(w service.NewWebhook) *newWebhookOutput {
	return &newWebhookOutput{Location: "/webhooks/" + w.Webhook.ID, Body: NewWebhook{Secret: w.Secret.Reveal(), Webhook: w.Webhook}}
}

func (a *API) createWebhook(ctx context.Context, p tenant.Principal, in *createWebhookInput) (*newWebhookOutput, error) {
	var d webhook.Definition
	if err := job.Decode(in.RawBody, in.ContentType, &d, nil); err != nil {
		return nil, err
	}
	made, err := a.deps.Service.CreateWebhook(ctx, p, d)
	if err != nil {
		return nil, err
	}
	return newWebhookAnswer(made), nil
}

type setWebhookInput struct {
	ID          string `path:"id" doc:"The webhook's id or name"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

func (a *API) setWebhook(ctx context.Context, p tenant.Principal, in *setWebhookInput) (*webhookOutput, error) {
	var d webhook.Definition
	if err := job.Decode(in.RawBody, in.ContentType, &d, nil); err != nil {
		return nil, err
	}
	return answerWebhook(a.deps.Service.SetWebhook(ctx, p, in.ID, d))
}

type rotateWebhookInput struct {
	ID   string `path:"id" doc:"The webhook's id or name"`
	Body *struct {
		Overlap string `json:"overlap,omitempty" doc:"How long the other secrets go on signing, at most 168h; 24h unless told" example:"24h"`
	}
}

func (a *API) rotateWebhook(ctx context.Context, p tenant.Principal, in *rotateWebhookInput) (*newWebhookOutput, error) {
	overlap := service.DefaultOverlap
	if in.Body != nil && in.Body.Overlap != "" {
		d, err := time.ParseDuration(in.Body.Overlap)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "HX-HOOK-029", "write it as 24h or 30m", "overlap: %.50q is no duration", in.Body.Overlap)
		}
		overlap = d
	}
	made, err := a.deps.Service.RotateWebhook(ctx, p, in.ID, overlap)
	if err != nil {
		return nil, err
	}
	return newWebhookAnswer(made), nil
}

type replayWebhookInput struct {
	ID   string `path:"id" doc:"The webhook's id or name"`
	Body struct {
		Since time.Time `json:"since" doc:"Events that happened then or later"`
	}
}

type replayWebhookOutput struct {
	Body Replay
}

// Replay tells how much is sent again.
type Replay struct {
	Deliveries int `json:"deliveries" doc:"How many wait because of it"`
}

func (a *API) replayWebhook(ctx context.Context, p tenant.Principal, in *replayWebhookInput) (*replayWebhookOutput, error) {
	n, err := a.deps.Service.ReplayWebhook(ctx, p, in.ID, in.Body.Since)
	if err != nil {
		return nil, err
	}
	return &replayWebhookOutput{Replay{n}}, nil
}
