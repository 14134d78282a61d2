package grpc

import (
	"context"
	"time"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func (d *Door) routeWebhooks() {
	s := d.deps.Service
	unary(d, "ListWebhooks", "list_webhooks", d.listWebhooks)
	unary(d, "CreateWebhook", "create_webhook", d.createWebhook)
	unary(d, "GetWebhook", "get_webhook", func(ctx context.Context, p tenant.Principal, in *pb.WebhookID) (*pb.Webhook, error) {
		return webhookPB(s.Webhook(ctx, p, in.GetId()))
	})
	unary(d, "SetWebhook", "set_webhook", d.setWebhook)
	unary(d, "DeleteWebhook", "delete_webhook", func(ctx context.Context, p tenant.Principal, in *pb.WebhookID) (*pb.DeleteWebhookResponse, error) {
		return &pb.DeleteWebhookResponse{}, s.DeleteWebhook(ctx, p, in.GetId())
	})
	unary(d, "EnableWebhook", "enable_webhook", func(ctx context.Context, p tenant.Principal, in *pb.WebhookID) (*pb.Webhook, error) {
		return webhookPB(s.EnableWebhook(ctx, p, in.GetId()))
	})
	unary(d, "DisableWebhook", "disable_webhook", func(ctx context.Context, p tenant.Principal, in *pb.WebhookID) (*pb.Webhook, error) {
		return webhookPB(s.DisableWebhook(ctx, p, in.GetId()))
	})
	unary(d, "RotateWebhook", "rotate_webhook", d.rotateWebhook)
	unary(d, "TestWebhook", "test_webhook", func(ctx context.Context, p tenant.Principal, in *pb.WebhookID) (*pb.Delivery, error) {
		return deliveryPB(s.TestWebhook(ctx, p, in.GetId()))
	})
	unary(d, "ReplayWebhook", "replay_webhook", d.replayWebhook)
}

func webhookPB(w webhook.Webhook, err error) (*pb.Webhook, error) {
	if err != nil {
		return nil, err
	}
	return toPB(&w, &pb.Webhook{}), nil
}

func newWebhookPB(made service.NewWebhook, err error) (*pb.NewWebhook, error) {
	if err != nil {
		return nil, err
	}
	return &pb.NewWebhook{Secret: made.Secret.Reveal(), Webhook: toPB(&made.Webhook, &pb.Webhook{})}, nil
}

func (d *Door) listWebhooks(ctx context.Context, p tenant.Principal, in *pb.ListWebhooksRequest) (*pb.ListWebhooksResponse, error) {
	page, err := d.deps.Service.Webhooks(ctx, p, int(in.GetLimit()), in.GetCursor())
	return &pb.ListWebhooksResponse{Items: listPB[webhook.Webhook, pb.Webhook](page.Items), NextCursor: page.NextCursor}, err
}

func (d *Door) createWebhook(ctx context.Context, p tenant.Principal, in *pb.CreateWebhookRequest) (*pb.NewWebhook, error) {
	def, err := webhookOf(in.GetSpec())
	if err != nil {
		return nil, err
	}
	return newWebhookPB(d.deps.Service.CreateWebhook(ctx, p, def))
}

func (d *Door) setWebhook(ctx context.Context, p tenant.Principal, in *pb.SetWebhookRequest) (*pb.Webhook, error) {
	def, err := webhookOf(in.GetSpec())
	if err != nil {
		return nil, err
	}
	return webhookPB(d.deps.Service.SetWebhook(ctx, p, in.GetId(), def))
}

func webhookOf(m *pb.WebhookSpec) (def webhook.Definition, err error) {
	if m == nil {
		return def, fault.New(fault.Invalid, "HX-GRPC-020", "the request holds no spec", "say what the webhook shall be")
	}
	return def, fromPB(m, &def)
}

func (d *Door) rotateWebhook(ctx context.Context, p tenant.Principal, in *pb.RotateWebhookRequest) (*pb.NewWebhook, error) {
	overlap := service.DefaultOverlap
	if in.GetOverlap() != "" {
		var err error
		if overlap, err = time.ParseDuration(in.GetOverlap()); err != nil {
			return nil, fault.Newf(fault.Invalid, "HX-HOOK-029", "write it as 24h or 30m", "overlap: %.50q is no duration", in.GetOverlap())
		}
	}
	return newWebhookPB(d.deps.Service.RotateWebhook(ctx, p, in.GetId(), overlap))
}

func (d *Door) replayWebhook(ctx context.Context, p tenant.Principal, in *pb.ReplayWebhookRequest) (*pb.ReplayWebhookResponse, error) {
	if in.GetSince() == nil {
		return nil, fault.New(fault.Invalid, "HX-GRPC-021", "the request holds no since", "say from when on events shall be sent again")
	}
	since, err := timeOf(in.GetSince(), "since")
	if err != nil {
		return nil, err
	}
	n, err := d.deps.Service.ReplayWebhook(ctx, p, in.GetId(), since)
	return &pb.ReplayWebhookResponse{Deliveries: int32(n)}, err
}
