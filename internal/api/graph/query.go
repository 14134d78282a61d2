package graph

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// root leads gqlgen to the resolvers.
type root struct{ *Door }

// Query implements ResolverRoot.
func (r *root) Query() QueryResolver { return &queries{r.Door} }

// Mutation implements ResolverRoot.
func (r *root) Mutation() MutationResolver { return &mutations{r.Door} }

// Subscription implements ResolverRoot.
func (r *root) Subscription() SubscriptionResolver { return &subscriptions{r.Door} }

// queries are the fields of Query.
type queries struct{ *Door }

func principal(ctx context.Context) tenant.Principal { return callOf(ctx).principal }

func (q *queries) Jobs(ctx context.Context, status *job.State, limit *int) ([]Job, error) {
	ask := service.Query{}
	if status != nil {
		ask.States = []job.State{*status}
	}
	var err error
	if ask.Limit, err = limitOf(limit); err != nil {
		return nil, err
	}
	page, err := q.deps.Service.Query(ctx, principal(ctx), ask)
	return jobsOf(page.Jobs), err
}

// limitOf refuses a 0, which the service takes for no limit given.
func limitOf(limit *int) (int, error) {
	if limit != nil && *limit < 1 {
		return 0, fault.New(fault.Invalid, "HX-GQL-015", "limit and first must be at least 1", "leave it out for the default")
	}
	return value(limit), nil
}

func (q *queries) Job(ctx context.Context, id string) (*Job, error) {
	j, err := q.deps.Service.Get(ctx, principal(ctx), id)
	return &Job{j}, err
}

func (q *queries) JobsConnection(ctx context.Context, filter *JobFilter, first *int, after *string) (JobConnection, error) {
	ask := filter.query()
	ask.Cursor = value(after)
	var err error
	if ask.Limit, err = limitOf(first); err != nil {
		return JobConnection{}, err
	}
	page, err := q.deps.Service.Query(ctx, principal(ctx), ask)
	if err != nil {
		return JobConnection{}, err
	}
	all := JobConnection{
		Nodes: jobsOf(page.Jobs), Edges: make([]JobEdge, len(page.Jobs)), TotalCount: page.Total, TotalIsLeast: page.AtLeast,
		PageInfo: PageInfo{HasNextPage: page.NextCursor != "", HasPreviousPage: ask.Cursor != ""},
	}
	for i, j := range all.Nodes {
		all.Edges[i] = JobEdge{Node: j, Cursor: service.CursorOf(j.Job)}
	}
	if n := len(all.Edges); n > 0 {
		all.PageInfo.StartCursor, all.PageInfo.EndCursor = &all.Edges[0].Cursor, &all.Edges[n-1].Cursor
	}
	return all, nil
}

func (q *queries) Explain(ctx context.Context, id string) (Explanation, error) {
	e, err := q.deps.Service.Explain(ctx, principal(ctx), id)
	return Explanation{e}, err
}

func (q *queries) Receipt(ctx context.Context, id string) (json.RawMessage, error) {
	return q.deps.Service.Receipt(ctx, principal(ctx), id)
}

func (q *queries) Vms(ctx context.Context, of *string, path []string) ([]provider.VM, error) {
	if _, err := principal(ctx).Scope(tenant.VMRead); err != nil {
		return nil, err
	}
	vms, err := q.deps.Inventory.VMs(ctx, value(of), path...)
	for i := range vms {
		vms[i] = whole(vms[i])
	}
	return listed(vms), err
}

func (q *queries) VM(ctx context.Context, id string, of *string) (provider.VM, error) {
	if _, err := principal(ctx).Scope(tenant.VMRead); err != nil {
		return provider.VM{}, err
	}
	vm, err := q.deps.Inventory.VM(ctx, value(of), id)
	return whole(vm), err
}

// whole is the VM with lists that are not null.
func whole(vm provider.VM) provider.VM {
	vm.Disks, vm.NICs, vm.Snapshots, vm.Blockers = listed(vm.Disks), listed(vm.NICs), listed(vm.Snapshots), listed(vm.Blockers)
	return vm
}

func (q *queries) Whoami(ctx context.Context) (service.Identity, error) {
	return q.deps.Service.WhoAmI(ctx, principal(ctx))
}

func (q *queries) Status(ctx context.Context) (Status, error) {
	s, err := q.deps.Service.Status(ctx, principal(ctx))
	if err != nil {
		return Status{}, err
	}
	out := Status{
		Version: q.deps.Version, UptimeSeconds: time.Since(q.started).Seconds(), OldestWaitSeconds: s.OldestWait.Seconds(),
		Workers: Workers{Size: s.Workers, Busy: s.Busy, Min: s.Bounds.Min, Max: s.Bounds.Max, Reason: s.SizeReason},
	}
	for _, state := range job.States() {
		out.Jobs = append(out.Jobs, StatusCount{Status: state, Count: s.Jobs[state]})
	}
	return out, nil
}

func (q *queries) Nodes(ctx context.Context) ([]node.Node, error) {
	nodes, err := q.deps.Service.Nodes(ctx, principal(ctx))
	return listed(nodes), err
}

func (q *queries) Keys(ctx context.Context, of *string) ([]tenant.Key, error) {
	keys, err := q.deps.Service.Keys(ctx, principal(ctx), tenant.ID(value(of)))
	for i := range keys {
		keys[i].Scopes = listed(keys[i].Scopes)
	}
	return listed(keys), err
}

func (q *queries) Tenants(ctx context.Context) ([]Tenant, error) {
	all, err := q.deps.Service.Tenants(ctx, principal(ctx))
	out := make([]Tenant, len(all))
	for i := range all {
		out[i] = Tenant{all[i]}
	}
	return out, err
}

func (q *queries) Tenant(ctx context.Context, id string) (Tenant, error) {
	return tenantAnswer(q.deps.Service.Tenant(ctx, principal(ctx), tenant.ID(id)))
}

func (q *queries) Usage(ctx context.Context, of string, from, to *string) (Usage, error) {
	id, months, err := q.deps.Service.Usage(ctx, principal(ctx), tenant.ID(of), tenant.Month(value(from)), tenant.Month(value(to)))
	return Usage{Tenant: string(id), Months: listed(months)}, err
}

func (q *queries) Profiles(ctx context.Context) ([]Profile, error) {
	all, err := q.deps.Service.Profiles(ctx, principal(ctx))
	out := make([]Profile, len(all))
	for i := range all {
		out[i] = Profile{Profile: all[i], inList: true}
	}
	return out, err
}

func (q *queries) Profile(ctx context.Context, id string) (Profile, error) {
	p, err := q.deps.Service.Profile(ctx, principal(ctx), id)
	return Profile{Profile: p}, err
}

func (q *queries) RenderProfile(ctx context.Context, id string, in map[string]any) (Rendered, error) {
	var spec job.Spec
	if in != nil {
		if err := bind(in, &spec); err != nil {
			return Rendered{}, err
		}
	}
	r, merged, err := q.deps.Service.Render(ctx, principal(ctx), id, spec)
	if err != nil {
		return Rendered{}, err
	}
	text, err := json.Marshal(merged)
	return Rendered{Profile: id, Chain: listed(r.Chain), Digest: r.Digest, Spec: text}, err
}

func (q *queries) Schedules(ctx context.Context, first *int, after *string) (SchedulePage, error) {
	limit, err := limitOf(first)
	if err != nil {
		return SchedulePage{}, err
	}
	page, err := q.deps.Service.Schedules(ctx, principal(ctx), limit, value(after))
	out := SchedulePage{Nodes: make([]Schedule, len(page.Items)), PageInfo: PageInfo{
		HasNextPage: page.NextCursor != "", HasPreviousPage: value(after) != "", EndCursor: some(page.NextCursor),
	}}
	for i := range page.Items {
		out.Nodes[i] = Schedule{page.Items[i]}
	}
	return out, err
}

func (q *queries) Schedule(ctx context.Context, id string) (Schedule, error) {
	return scheduleAnswer(q.deps.Service.Schedule(ctx, principal(ctx), id))
}

func (q *queries) ScheduleRuns(ctx context.Context, id string) ([]schedule.Run, error) {
	runs, err := q.deps.Service.ScheduleRuns(ctx, principal(ctx), id)
	for i := range runs {
		runs[i].JobIDs = listed(runs[i].JobIDs)
	}
	return listed(slices.Clone(runs)), err
}

// subscriptions are the fields of Subscription.
type subscriptions struct{ *Door }

func (s *subscriptions) JobUpdates(ctx context.Context, id string) (<-chan Job, error) {
	updates, err := s.deps.Service.Updates(ctx, principal(ctx), id)
	if err != nil {
		return nil, err
	}
	return source(ctx, updates, func(j job.Job) (Job, bool) { return Job{j}, true }), nil
}

func (s *subscriptions) JobEvents(ctx context.Context, id string, after *int64) (<-chan Event, error) {
	updates, err := s.deps.Service.Events(ctx, principal(ctx), id, value(after))
	if err != nil {
		return nil, err
	}
	return source(ctx, updates, func(u service.Update) (Event, bool) {
		if u.Event == nil {
			return Event{}, false
		}
		return Event{*u.Event}, true
	}), nil
}

func (s *subscriptions) Events(ctx context.Context, after *int64, kinds, jobs []string, labels map[string]string, once *bool) (<-chan Event, error) {
	updates, err := s.deps.Service.Log(ctx, principal(ctx), service.LogQuery{After: after, Kinds: kinds, Jobs: jobs, Labels: labels, Once: value(once)})
	if err != nil {
		return nil, err
	}
	return source(ctx, updates, func(u service.LogUpdate) (Event, bool) {
		if u.Event == nil {
			return Event{}, false
		}
		return Event{*u.Event}, true
	}), nil
}
