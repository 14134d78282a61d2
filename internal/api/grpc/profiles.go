package grpc

import (
	"context"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) routeProfiles() {
	unary(d, "ListProfiles", "list_profiles", d.listProfiles)
	unary(d, "GetProfile", "get_profile", func(ctx context.Context, p tenant.Principal, in *pb.ProfileID) (*pb.Profile, error) {
		return profilePB(d.deps.Service.Profile(ctx, p, in.GetId()))
	})
	unary(d, "PutProfile", "put_profile", func(ctx context.Context, p tenant.Principal, in *pb.PutProfileRequest) (*pb.Profile, error) {
		return profilePB(d.deps.Service.PutProfile(ctx, p, in.GetId(), []byte(in.GetText()), in.GetContentType()))
	})
	unary(d, "DeleteProfile", "delete_profile", func(ctx context.Context, p tenant.Principal, in *pb.ProfileID) (*pb.Profile, error) {
		return profilePB(d.deps.Service.DeleteProfile(ctx, p, in.GetId()))
	})
	unary(d, "RenderProfile", "render_profile", d.renderProfile)
}

func profilePB(p profile.Profile, err error) (*pb.Profile, error) {
	if err != nil {
		return nil, err
	}
	return &pb.Profile{
		Id: p.ID, Name: p.Name, Description: p.Description, Extends: p.Extends, Source: p.Source,
		Defaults: toPB(&p.Defaults, &pb.JobSpec{}), UpdatedAt: timePB(&p.UpdatedAt), Problem: p.Problem, Text: p.Text,
	}, nil
}

func (d *Door) listProfiles(ctx context.Context, p tenant.Principal, _ *pb.ListProfilesRequest) (*pb.ListProfilesResponse, error) {
	all, err := d.deps.Service.Profiles(ctx, p)
	out := &pb.ListProfilesResponse{}
	for i := range all {
		all[i].Text = ""
		item, _ := profilePB(all[i], nil)
		out.Items = append(out.Items, item)
	}
	return out, err
}

func (d *Door) renderProfile(ctx context.Context, p tenant.Principal, in *pb.RenderProfileRequest) (*pb.Rendered, error) {
	var spec job.Spec
	if err := fromPB(in.GetSpec(), &spec); err != nil {
		return nil, err
	}
	r, merged, err := d.deps.Service.Render(ctx, p, in.GetId(), spec)
	if err != nil {
		return nil, err
	}
	return &pb.Rendered{Profile: in.GetId(), Chain: r.Chain, Digest: r.Digest, Spec: toPB(&merged, &pb.JobSpec{})}, nil
}
