package grpc

import (
	"context"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) routeSchedules() {
	unary(d, "ListSchedules", "list_schedules", d.listSchedules)
	unary(d, "CreateSchedule", "create_schedule", d.createSchedule)
	unary(d, "GetSchedule", "get_schedule", func(ctx context.Context, p tenant.Principal, in *pb.ScheduleID) (*pb.Schedule, error) {
		return schedulePB(d.deps.Service.Schedule(ctx, p, in.GetId()))
	})
	unary(d, "SetSchedule", "set_schedule", d.setSchedule)
	unary(d, "DeleteSchedule", "delete_schedule", func(ctx context.Context, p tenant.Principal, in *pb.ScheduleID) (*pb.DeleteScheduleResponse, error) {
		return &pb.DeleteScheduleResponse{}, d.deps.Service.DeleteSchedule(ctx, p, in.GetId())
	})
	unary(d, "ListScheduleRuns", "schedule_runs", d.listScheduleRuns)
	unary(d, "PauseSchedule", "pause_schedule", func(ctx context.Context, p tenant.Principal, in *pb.ScheduleID) (*pb.Schedule, error) {
		return schedulePB(d.deps.Service.PauseSchedule(ctx, p, in.GetId()))
	})
	unary(d, "ResumeSchedule", "resume_schedule", func(ctx context.Context, p tenant.Principal, in *pb.ScheduleID) (*pb.Schedule, error) {
		return schedulePB(d.deps.Service.ResumeSchedule(ctx, p, in.GetId()))
	})
	unary(d, "RunSchedule", "run_schedule", d.runSchedule)
}

func schedulePB(s schedule.Schedule, err error) (*pb.Schedule, error) {
	if err != nil {
		return nil, err
	}
	return toPB(&s, &pb.Schedule{}), nil
}

func (d *Door) listSchedules(ctx context.Context, p tenant.Principal, in *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
	page, err := d.deps.Service.Schedules(ctx, p, int(in.GetLimit()), in.GetCursor())
	return &pb.ListSchedulesResponse{Items: listPB[schedule.Schedule, pb.Schedule](page.Items), NextCursor: page.NextCursor}, err
}

func (d *Door) createSchedule(ctx context.Context, p tenant.Principal, in *pb.CreateScheduleRequest) (*pb.Schedule, error) {
	def, err := definitionOf(in.GetSpec())
	if err != nil {
		return nil, err
	}
	return schedulePB(d.deps.Service.CreateSchedule(ctx, p, def))
}

func (d *Door) setSchedule(ctx context.Context, p tenant.Principal, in *pb.SetScheduleRequest) (*pb.Schedule, error) {
	def, err := definitionOf(in.GetSpec())
	if err != nil {
		return nil, err
	}
	return schedulePB(d.deps.Service.SetSchedule(ctx, p, in.GetId(), def))
}

func definitionOf(m *pb.ScheduleSpec) (def schedule.Definition, err error) {
	if m == nil {
		return def, fault.New(fault.Invalid, "HX-GRPC-010", "the request holds no spec", "say what the schedule shall be")
	}
	if err := fromPB(m, &def); err != nil {
		return def, err
	}
	def.Jobs, err = specsOfList(m.GetJobs())
	return def, err
}

func (d *Door) listScheduleRuns(ctx context.Context, p tenant.Principal, in *pb.ScheduleID) (*pb.ListScheduleRunsResponse, error) {
	runs, err := d.deps.Service.ScheduleRuns(ctx, p, in.GetId())
	return &pb.ListScheduleRunsResponse{Items: listPB[schedule.Run, pb.ScheduleRun](runs)}, err
}

func (d *Door) runSchedule(ctx context.Context, p tenant.Principal, in *pb.ScheduleID) (*pb.ScheduleRun, error) {
	r, err := d.deps.Service.RunSchedule(ctx, p, in.GetId())
	if err != nil {
		return nil, err
	}
	return toPB(&r, &pb.ScheduleRun{}), nil
}
