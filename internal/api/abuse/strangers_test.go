package abuse_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
)

// strangers ask for what belongs to another tenant, by every door.
func strangers() []abuse {
	rest := func(method, path, body, want string) abuse {
		return abuse{name: "stranger: " + method + " " + path, want: want, try: func(w *world, c caller) string {
			return c.rest(method, w.theirs(path), body)
		}}
	}
	graph := func(query, want string) abuse {
		return abuse{name: "stranger: GraphQL " + query, want: want, try: func(w *world, c caller) string { return c.graph(w.theirs(query), nil) }}
	}
	rpc := func(method string, in func(w *world) proto.Message, out proto.Message, want string) abuse {
		return abuse{name: "stranger: gRPC " + method, want: want, try: func(w *world, c caller) string { return c.rpc(method, in(w), out) }}
	}
	id := func(w *world) proto.Message { return &pb.JobID{Id: w.them.job} }
	const noJob, noWebhook, noSchedule = "404 HX-JOB-041", "404 HX-HOOK-032", "404 HX-SCHED-009"
	return []abuse{
		rest("GET", "/jobs/JOB", "", noJob),
		rest("POST", "/jobs/JOB/cancel", "", noJob),
		rest("GET", "/jobs/JOB/events", "", noJob),
		rest("GET", "/jobs/JOB/receipt", "", noJob),
		rest("GET", "/jobs/JOB/explain", "", noJob),
		rest("POST", "/jobs/JOB/pause", "", noJob),
		rest("POST", "/jobs/JOB/retry", "", noJob),
		rest("PATCH", "/jobs/JOB", `{"priority":"low"}`, noJob),
		rest("PUT", "/jobs/JOB/bandwidth", `{"bandwidth_limit":"1MB/s"}`, noJob),
		rest("GET", "/webhooks/HOOK", "", noWebhook),
		rest("DELETE", "/webhooks/HOOK", "", noWebhook),
		rest("POST", "/webhooks/HOOK/rotate", "", noWebhook),
		rest("POST", "/webhooks/HOOK/test", "", noWebhook),
		rest("GET", "/webhooks/HOOK/deliveries", "", noWebhook),
		rest("GET", "/webhooks/HOOK/deliveries/DELIVERY", "", noWebhook),
		rest("GET", "/webhooks/OURS/deliveries/DELIVERY", "", "404 HX-HOOK-033"),
		rest("POST", "/webhooks/OURS/deliveries/DELIVERY/resend", "", "404 HX-HOOK-033"),
		rest("GET", "/schedules/SCHEDULE", "", noSchedule),
		rest("POST", "/schedules/SCHEDULE/run", "", noSchedule),
		rest("DELETE", "/schedules/SCHEDULE", "", noSchedule),
		rest("GET", "/profiles/PROFILE", "", "404 HX-PROFILE-034"),
		rest("DELETE", "/keys/KEY", "", "404 HX-KEY-003"),
		rest("POST", "/keys/KEY/rotate", "", "404 HX-KEY-003"),
		rest("GET", "/tenants/them", "", "404 HX-TENANT-001"),
		rest("GET", "/tenants/them/usage", "", "404 HX-TENANT-001"),
		graph(`{job(id:"JOB"){id}}`, "200 HX-JOB-041"),
		graph(`{explain(id:"JOB"){reason}}`, "200 HX-JOB-041"),
		graph(`{receipt(id:"JOB")}`, "200 HX-JOB-041"),
		graph(`mutation{cancelJob(id:"JOB"){id}}`, "200 HX-JOB-041"),
		graph(`mutation{revokeKey(id:"KEY"){id}}`, "200 HX-KEY-003"),
		graph(`{schedule(id:"SCHEDULE"){id}}`, "200 HX-SCHED-009"),
		rpc("GetJobStatus", func(w *world) proto.Message { return &pb.JobStatusRequest{JobId: w.them.job} }, &pb.JobStatusResponse{}, "NotFound HX-JOB-041"),
		rpc("CancelJob", func(w *world) proto.Message { return &pb.CancelJobRequest{JobId: w.them.job} }, &pb.Cancellation{}, "NotFound HX-JOB-041"),
		rpc("ExplainJob", id, &pb.Explanation{}, "NotFound HX-JOB-041"),
		rpc("GetReceipt", id, &pb.Receipt{}, "NotFound HX-JOB-041"),
		rpc("RevokeKey", func(w *world) proto.Message { return &pb.RevokeKeyRequest{Id: w.them.key} }, &pb.APIKey{}, "NotFound HX-KEY-003"),
		rpc("GetSchedule", func(w *world) proto.Message { return &pb.ScheduleID{Id: w.them.schedule} }, &pb.Schedule{}, "NotFound HX-SCHED-009"),
		rpc("StreamJobUpdates", id, &pb.JobUpdate{}, "NotFound HX-JOB-041"),
		{name: "stranger: a batch of mixed ids", want: "200, cancelled one, HX-JOB-041 for the other", try: mixedBatch},
		{name: "stranger: a subscription to a job", want: "HX-JOB-041", try: func(w *world, c caller) string {
			got := c.do("POST", "/graphql", w.theirs(`{"query":"subscription{jobUpdates(id:\"JOB\"){id}}"}`), "Accept", "text/event-stream")
			_, code, _ := strings.Cut(got.body, `"code":"`)
			code, _, _ = strings.Cut(code, `"`)
			return code
		}},
		{name: "stranger: the events of all", want: "200, of us only", try: func(w *world, c caller) string {
			got := c.do("GET", "/events?after=0&once=true", "")
			if strings.Contains(got.body, w.them.job) || strings.Contains(got.body, `"them"`) {
				return got.body
			}
			return fmt.Sprint(got.status, ", of us only")
		}},
		{name: "stranger: a query by id and by cursor of another", want: "200 0 jobs, 200 0 jobs", try: func(w *world, c caller) string {
			byID := c.do("POST", "/jobs/query", w.theirs(`{"job_ids":["JOB"]}`))
			name := c.do("POST", "/jobs/query", w.theirs(`{"job_ids":["JOB"],"vm":"*"}`))
			return fmt.Sprint(byID.status, " ", strings.Count(byID.body, w.them.job), " jobs, ", name.status, " ", strings.Count(name.body, w.them.job), " jobs")
		}},
		{name: "stranger: all that is listed", want: "nothing of them", try: listed},
		{name: "stranger: at the end all is as it was", want: "200 pending", try: func(w *world, _ caller) string {
			got := w.them.do("GET", "/jobs/"+w.them.job, "")
			var j struct {
				Status string `json:"status"`
			}
			_ = json.Unmarshal([]byte(got.body), &j)
			return fmt.Sprint(got.status, " ", j.Status)
		}},
	}
}

// theirs puts the ids of the other tenant in.
func (w *world) theirs(text string) string {
	return strings.NewReplacer("JOB", w.them.job, "HOOK", w.them.webhook, "DELIVERY", w.them.delivery, "SCHEDULE", w.them.schedule,
		"PROFILE", w.them.profile, "KEY", w.them.key, "OURS", w.us.webhook).Replace(text)
}

func mixedBatch(w *world, c caller) string {
	got := c.do("POST", "/jobs/submit", `{"vm_path":"/DC/vm/web-01"}`)
	var made struct {
		JobIDs []string `json:"job_ids"`
	}
	if json.Unmarshal([]byte(got.body), &made) != nil || len(made.JobIDs) != 1 {
		return got.body
	}
	got = c.do("POST", "/jobs/cancel", fmt.Sprintf(`{"job_ids":[%q,%q]}`, w.them.job, made.JobIDs[0]))
	var out struct {
		Results []struct {
			Outcome string `json:"outcome"`
			Error   struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"results"`
	}
	if json.Unmarshal([]byte(got.body), &out) != nil || len(out.Results) != 2 {
		return got.body
	}
	return fmt.Sprintf("%d, %s one, %s for the other", got.status, out.Results[1].Outcome, out.Results[0].Error.Code)
}

func listed(w *world, c caller) string {
	for _, path := range []string{"/jobs", "/webhooks", "/schedules", "/profiles", "/keys", "/tenants", "/audit"} {
		got := c.do("GET", path, "")
		for _, of := range []string{w.them.job, w.them.webhook, w.them.schedule, w.them.profile, w.them.key, `"them"`} {
			if strings.Contains(got.body, of) {
				return path + " shows " + of
			}
		}
	}
	return "nothing of them"
}
