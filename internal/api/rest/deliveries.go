package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func (a *API) routeDeliveries() {
	private(a, huma.Operation{
		OperationID: "list_deliveries", Method: http.MethodGet, Path: "/webhooks/{id}/deliveries", Tags: tagWebhooks,
		Summary: "The deliveries of a webhook, the latest first", Description: "Those that ended are forgotten after a while.",
	}, a.listDeliveries)
	private(a, huma.Operation{
		OperationID: "get_delivery", Method: http.MethodGet, Path: "/webhooks/{id}/deliveries/{delivery}", Tags: tagWebhooks,
		Summary: "Get a delivery with its payload and its attempts",
	}, func(ctx context.Context, p tenant.Principal, in *deliveryInput) (*deliveryOutput, error) {
		return answerDelivery(a.deps.Service.Delivery(ctx, p, in.ID, in.Delivery))
	})
	private(a, huma.Operation{
		OperationID: "resend_delivery", Method: http.MethodPost, Path: "/webhooks/{id}/deliveries/{delivery}/resend", Tags: tagWebhooks,
		Summary: "Send a delivery again", Description: "With the same id, at once, and with all retries.", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, p tenant.Principal, in *deliveryInput) (*deliveryOutput, error) {
		return answerDelivery(a.deps.Service.ResendDelivery(ctx, p, in.ID, in.Delivery))
	})
}

type deliveryInput struct {
	ID       string `path:"id" doc:"The webhook's id or name"`
	Delivery string `path:"delivery" doc:"The delivery's id"`
}

type deliveryOutput struct {
	Body webhook.Delivery
}

func answerDelivery(d webhook.Delivery, err error) (*deliveryOutput, error) {
	if err != nil {
		return nil, err
	}
	return &deliveryOutput{d}, nil
}

type deliveriesInput struct {
	ID     string        `path:"id" doc:"The webhook's id or name"`
	Status webhook.State `query:"status" enum:"pending,delivered,dead" doc:"Only those"`
	Limit  int           `query:"limit" doc:"Deliveries on a page" minimum:"1" maximum:"100" default:"50"`
	Cursor string        `query:"cursor" doc:"next_cursor of the page before"`
}

type deliveriesOutput struct {
	Body DeliveryList
}

// DeliveryList is one page of deliveries.
type DeliveryList struct {
	Items      []webhook.Delivery `json:"items" nullable:"false"`
	NextCursor string             `json:"next_cursor,omitempty" doc:"Absent on the last page"`
}

func (a *API) listDeliveries(ctx context.Context, p tenant.Principal, in *deliveriesInput) (*deliveriesOutput, error) {
	page, err := a.deps.Service.Deliveries(ctx, p, in.ID, in.Status, in.Limit, in.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []webhook.Delivery{}
	}
	return &deliveriesOutput{DeliveryList{Items: page.Items, NextCursor: page.NextCursor}}, nil
}
