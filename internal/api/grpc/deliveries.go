package grpc

import (
	"context"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func (d *Door) routeDeliveries() {
	unary(d, "ListDeliveries", "list_deliveries", d.listDeliveries)
	unary(d, "GetDelivery", "get_delivery", func(ctx context.Context, p tenant.Principal, in *pb.DeliveryID) (*pb.Delivery, error) {
		return deliveryPB(d.deps.Service.Delivery(ctx, p, in.GetWebhook(), in.GetId()))
	})
	unary(d, "ResendDelivery", "resend_delivery", func(ctx context.Context, p tenant.Principal, in *pb.DeliveryID) (*pb.Delivery, error) {
		return deliveryPB(d.deps.Service.ResendDelivery(ctx, p, in.GetWebhook(), in.GetId()))
	})
}

func deliveryPB(v webhook.Delivery, err error) (*pb.Delivery, error) {
	if err != nil {
		return nil, err
	}
	return toPB(&v, &pb.Delivery{}), nil
}

func (d *Door) listDeliveries(ctx context.Context, p tenant.Principal, in *pb.ListDeliveriesRequest) (*pb.ListDeliveriesResponse, error) {
	page, err := d.deps.Service.Deliveries(ctx, p, in.GetWebhook(), webhook.State(in.GetStatus()), int(in.GetLimit()), in.GetCursor())
	return &pb.ListDeliveriesResponse{Items: listPB[webhook.Delivery, pb.Delivery](page.Items), NextCursor: page.NextCursor}, err
}
