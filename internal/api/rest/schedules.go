package rest

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var tagSchedules = []string{"schedules"}

func (a *API) routeSchedules() {
	private(a, huma.Operation{
		OperationID: "list_schedules", Method: http.MethodGet, Path: "/schedules", Tags: tagSchedules, Summary: "List schedules, by name",
	}, a.listSchedules)
	a.scheduleBody(huma.Operation{
		OperationID: "create_schedule", Method: http.MethodPost, Path: "/schedules", Summary: "Create a schedule",
		Description:   "Its jobs are judged as in a submit. A name that is taken is refused.",
		DefaultStatus: http.StatusCreated,
	}, func(op huma.Operation) { private(a, op, a.createSchedule) })
	private(a, huma.Operation{
		OperationID: "get_schedule", Method: http.MethodGet, Path: "/schedules/{id}", Tags: tagSchedules, Summary: "Get a schedule",
	}, a.getSchedule)
	a.scheduleBody(huma.Operation{
		OperationID: "set_schedule", Method: http.MethodPut, Path: "/schedules/{id}", Summary: "Replace the definition of a schedule",
		Description: "The next run is the first after now.",
	}, func(op huma.Operation) { private(a, op, a.setSchedule) })
	private(a, huma.Operation{
		OperationID: "delete_schedule", Method: http.MethodDelete, Path: "/schedules/{id}", Tags: tagSchedules, Summary: "Delete a schedule",
		Description: "Jobs that it submitted go on.", DefaultStatus: http.StatusNoContent,
	}, a.deleteSchedule)
	private(a, huma.Operation{
		OperationID: "schedule_runs", Method: http.MethodGet, Path: "/schedules/{id}/runs", Tags: tagSchedules,
		Summary: "The last runs of a schedule, the latest first",
	}, a.scheduleRuns)
	a.routeScheduleVerbs()
}

func (a *API) routeScheduleVerbs() {
	private(a, huma.Operation{
		OperationID: "pause_schedule", Method: http.MethodPost, Path: "/schedules/{id}/pause", Tags: tagSchedules,
		Summary: "Pause a schedule", Description: "Safe to repeat.",
	}, a.pauseSchedule)
	private(a, huma.Operation{
		OperationID: "resume_schedule", Method: http.MethodPost, Path: "/schedules/{id}/resume", Tags: tagSchedules,
		Summary: "Resume a schedule", Description: "Safe to repeat. Runs of the time when it was paused are not made up for.",
	}, a.resumeSchedule)
	private(a, huma.Operation{
		OperationID: "run_schedule", Method: http.MethodPost, Path: "/schedules/{id}/run", Tags: tagSchedules,
		Summary: "Run a schedule now", Description: "Even if it is paused. The overlap policy holds: with skip it is refused while jobs of an earlier run have not ended.",
		DefaultStatus: http.StatusAccepted,
	}, a.runSchedule)
}

// scheduleBody documents a body that job.Decode reads.
func (a *API) scheduleBody(op huma.Operation, register func(huma.Operation)) {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[schedule.Definition](), true, "")
	op.Tags, op.SkipValidateBody = tagSchedules, true
	op.RequestBody = &huma.RequestBody{
		Description: "Unknown keys are refused by name.",
		Content:     map[string]*huma.MediaType{mediaJSON: {Schema: schema}, "application/yaml": {Schema: schema}},
	}
	body := op.RequestBody
	register(op)
	delete(body.Content, "application/octet-stream") // what huma makes of RawBody
}

type scheduleInput struct {
	ID string `path:"id" doc:"The schedule's id or name"`
}

type scheduleOutput struct {
	Body schedule.Schedule
}

type schedulesInput struct {
	Limit  int    `query:"limit" doc:"Schedules on a page" minimum:"1" maximum:"100" default:"50"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

type schedulesOutput struct {
	Body ScheduleList
}

// ScheduleList is one page of schedules.
type ScheduleList struct {
	Items      []schedule.Schedule `json:"items" nullable:"false"`
	NextCursor string              `json:"next_cursor,omitempty" doc:"Absent on the last page"`
}

func (a *API) listSchedules(ctx context.Context, p tenant.Principal, in *schedulesInput) (*schedulesOutput, error) {
	page, err := a.deps.Service.Schedules(ctx, p, in.Limit, in.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []schedule.Schedule{}
	}
	return &schedulesOutput{ScheduleList{Items: page.Items, NextCursor: page.NextCursor}}, nil
}

func (a *API) getSchedule(ctx context.Context, p tenant.Principal, in *scheduleInput) (*scheduleOutput, error) {
	return answerSchedule(a.deps.Service.Schedule(ctx, p, in.ID))
}

func answerSchedule(s schedule.Schedule, err error) (*scheduleOutput, error) {
	if err != nil {
		return nil, err
	}
	return &scheduleOutput{s}, nil
}

type createScheduleInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

type createScheduleOutput struct {
	Location string `header:"Location" doc:"The schedule"`
	Body     schedule.Schedule
}

func (a *API) createSchedule(ctx context.Context, p tenant.Principal, in *createScheduleInput) (*createScheduleOutput, error) {
	var d schedule.Definition
	if err := job.Decode(in.RawBody, in.ContentType, &d, nil); err != nil {
		return nil, err
	}
	s, err := a.deps.Service.CreateSchedule(ctx, p, d)
	if err != nil {
		return nil, err
	}
	return &createScheduleOutput{Location: "/schedules/" + s.ID, Body: s}, nil
}

type setScheduleInput struct {
	ID          string `path:"id" doc:"The schedule's id or name"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

func (a *API) setSchedule(ctx context.Context, p tenant.Principal, in *setScheduleInput) (*scheduleOutput, error) {
	var d schedule.Definition
	if err := job.Decode(in.RawBody, in.ContentType, &d, nil); err != nil {
		return nil, err
	}
	return answerSchedule(a.deps.Service.SetSchedule(ctx, p, in.ID, d))
}

func (a *API) deleteSchedule(ctx context.Context, p tenant.Principal, in *scheduleInput) (*struct{}, error) {
	return nil, a.deps.Service.DeleteSchedule(ctx, p, in.ID)
}

func (a *API) pauseSchedule(ctx context.Context, p tenant.Principal, in *scheduleInput) (*scheduleOutput, error) {
	return answerSchedule(a.deps.Service.PauseSchedule(ctx, p, in.ID))
}

func (a *API) resumeSchedule(ctx context.Context, p tenant.Principal, in *scheduleInput) (*scheduleOutput, error) {
	return answerSchedule(a.deps.Service.ResumeSchedule(ctx, p, in.ID))
}

type scheduleRunOutput struct {
	Body schedule.Run
}

func (a *API) runSchedule(ctx context.Context, p tenant.Principal, in *scheduleInput) (*scheduleRunOutput, error) {
	r, err := a.deps.Service.RunSchedule(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	return &scheduleRunOutput{r}, nil
}

type scheduleRunsOutput struct {
	Body ScheduleRuns
}

// ScheduleRuns are the last runs of a schedule.
type ScheduleRuns struct {
	Items []schedule.Run `json:"items" nullable:"false"`
}

func (a *API) scheduleRuns(ctx context.Context, p tenant.Principal, in *scheduleInput) (*scheduleRunsOutput, error) {
	runs, err := a.deps.Service.ScheduleRuns(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	if runs == nil {
		runs = []schedule.Run{}
	}
	return &scheduleRunsOutput{ScheduleRuns{runs}}, nil
}
