package parity_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
)

// grpcDriver makes calls by grpc-go. Requests are put together as JSON of the
// messages, answers are taken apart by reflection: nothing of the door's own code
// judges it.
type grpcDriver struct {
	conn    *gogrpc.ClientConn
	service protoreflect.ServiceDescriptor
}

func newGRPC(t *testing.T, addr string) *grpcDriver {
	t.Helper()
	conn, err := gogrpc.NewClient(addr, gogrpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &grpcDriver{conn: conn, service: pb.File_hypervisord_v1_hypervisord_proto.Services().ByName("HypervisordService")}
}

func (*grpcDriver) door() string { return "grpc" }

// rpc says how an operation is called by gRPC.
type rpc struct {
	method string
	id     string // the field that takes {id}
	key    string // the field that takes {key}
	body   string // the field that takes the body; "": its fields are the request's
	why    string // there is no such method, and why
}

var rpcs = map[string]rpc{
	"submit_jobs": {method: "SubmitJobs"}, "query_jobs": {method: "ListJobs"}, "list_jobs": {method: "ListJobs"},
	"get_job": {method: "GetJobStatus", id: "job_id"}, "get_receipt": {method: "GetReceipt", id: "id"}, "job_events": {method: "StreamJobUpdates", id: "id"},
	"cancel_job": {method: "CancelJob", id: "job_id"}, "cancel_jobs": {method: "CancelJobs"}, "explain_job": {method: "ExplainJob", id: "id"},
	"update_job": {method: "UpdateJob", id: "job_id"}, "pause_job": {method: "PauseJob", id: "job_id"}, "resume_job": {method: "ResumeJob", id: "id"},
	"retry_job": {method: "RetryJob", id: "id"}, "bulk_jobs": {method: "BulkJobs"}, "set_job_bandwidth": {method: "SetJobBandwidth", id: "job_id"},
	"list_profiles": {method: "ListProfiles"}, "get_profile": {method: "GetProfile", id: "id"}, "put_profile": {method: "PutProfile", id: "id"},
	"delete_profile": {method: "DeleteProfile", id: "id"}, "render_profile": {method: "RenderProfile", id: "id"},
	"list_schedules": {method: "ListSchedules"}, "create_schedule": {method: "CreateSchedule", body: "spec"}, "get_schedule": {method: "GetSchedule", id: "id"},
	"set_schedule": {method: "SetSchedule", id: "id", body: "spec"}, "delete_schedule": {method: "DeleteSchedule", id: "id"},
	"schedule_runs": {method: "ListScheduleRuns", id: "id"}, "pause_schedule": {method: "PauseSchedule", id: "id"},
	"resume_schedule": {method: "ResumeSchedule", id: "id"}, "run_schedule": {method: "RunSchedule", id: "id"},
	"run_retention": {method: "RunRetention"}, "list_nodes": {method: "ListNodes"}, "list_vms": {method: "ListVMs"}, "get_vm": {method: "GetVM", id: "id"},
	"get_status": {method: "GetStatus"}, "list_keys": {method: "ListKeys"}, "create_key": {method: "CreateKey"}, "revoke_key": {method: "RevokeKey", id: "id"},
	"rotate_key": {method: "RotateKey", id: "id"}, "list_tenant_keys": {method: "ListKeys", id: "tenant"},
	"create_tenant_key": {method: "CreateKey", id: "tenant"}, "revoke_tenant_key": {method: "RevokeKey", id: "tenant", key: "id"},
	"list_tenants": {method: "ListTenants"}, "create_tenant": {method: "CreateTenant", body: "change"}, "get_tenant": {method: "GetTenant", id: "id"},
	"change_tenant": {method: "ChangeTenant", id: "id", body: "change"}, "delete_tenant": {method: "DeleteTenant", id: "id"},
	"pause_tenant": {method: "PauseTenant", id: "id"}, "resume_tenant": {method: "ResumeTenant", id: "id"}, "tenant_usage": {method: "GetTenantUsage", id: "id"},

	"list_webhooks": {method: "ListWebhooks"}, "create_webhook": {method: "CreateWebhook", body: "spec"}, "get_webhook": {method: "GetWebhook", id: "id"},
	"set_webhook": {method: "SetWebhook", id: "id", body: "spec"}, "delete_webhook": {method: "DeleteWebhook", id: "id"},
	"enable_webhook": {method: "EnableWebhook", id: "id"}, "disable_webhook": {method: "DisableWebhook", id: "id"},
	"rotate_webhook": {method: "RotateWebhook", id: "id"}, "test_webhook": {method: "TestWebhook", id: "id"}, "replay_webhook": {method: "ReplayWebhook", id: "id"},
	"list_deliveries": {method: "ListDeliveries", id: "webhook"}, "get_delivery": {method: "GetDelivery", id: "webhook", key: "id"},
	"resend_delivery": {method: "ResendDelivery", id: "webhook", key: "id"},
	"list_audit":      {method: "ListAudit"}, "export_audit": {method: "ExportAudit"}, "audit_checkpoint": {method: "GetAuditCheckpoint"},
	"audit_proof": {method: "GetAuditProof", id: "pos"}, "audit_consistency": {method: "GetAuditConsistency"}, "list_audit_sinks": {method: "ListAuditSinks"},

	"get_whoami": {method: "WhoAmI"}, "get_auth_config": {why: "it is asked before a door is chosen"},

	"stream_events": {method: "StreamEvents"}, "socket": {why: "it is a WebSocket"},
	"get_health": {why: "grpc.health.v1"}, "get_readyz": {why: "grpc.health.v1"}, "get_startupz": {why: "grpc.health.v1"}, "get_livez": {why: "an answer of the health service says so"},
	"openapi": {why: "the reflection service"}, "workflow_schema": {why: "the proto files have the fields of a step"},
	"job_schema": {why: "the proto files have them"}, "profile_schema": {why: "it is of a file"}, "config_schema": {why: "it is of a file"}, "metrics": {why: "Prometheus scrapes by HTTP"},
}

func (*grpcDriver) lacks(op string) string {
	r, ok := rpcs[op]
	if !ok {
		return "UNKNOWN: add it to rpcs"
	}
	return r.why
}

func (d *grpcDriver) do(t *testing.T, c call) outcome {
	t.Helper()
	r := rpcs[c.op]
	if c.op == "submit_jobs" && c.body["vm_path"] != nil {
		r.method = "SubmitJob"
	}
	of := d.service.Methods().ByName(protoreflect.Name(r.method))
	in := newMessage(t, of.Input())
	text, err := json.Marshal(d.request(t, c, r))
	must(t, err)
	must(t, protojson.Unmarshal(text, in))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	md := metadata.MD{}
	for name, v := range map[string]string{"x-api-key": c.secret, "idempotency-key": c.idempotent} {
		if v != "" {
			md.Set(name, v)
		}
	}
	ctx = metadata.NewOutgoingContext(ctx, md)
	procedure := "/" + string(d.service.FullName()) + "/" + r.method
	if of.IsStreamingServer() {
		return d.stream(t, ctx, c, of, procedure, in)
	}
	out := newMessage(t, of.Output())
	var header metadata.MD
	if err := d.conn.Invoke(ctx, procedure, in, out, gogrpc.Header(&header)); err != nil {
		return failureOf(t, err)
	}
	return outcome{value: inWordsOfREST(t, c, tree(t, out.ProtoReflect())), replayed: len(header.Get("idempotent-replayed")) > 0}
}

// request is the JSON of the request's message.
func (d *grpcDriver) request(t *testing.T, c call, r rpc) map[string]any {
	t.Helper()
	req, body := map[string]any{}, maps.Clone(c.body)
	for _, moved := range []string{"limit", "cursor"} { // beside the filter, not in it
		if v, ok := body[moved]; ok && r.method == "ListJobs" {
			req[moved] = v
			delete(body, moved)
		}
	}
	if kind, ok := c.query["kind"].(string); ok {
		c.query = maps.Clone(c.query)
		c.query["kind"] = strings.Split(kind, ",")
	}
	if c.op == "create_tenant" {
		req["id"] = body["id"]
		delete(body, "id")
	}
	switch {
	case r.method == "ListJobs":
		filter := body
		if filter == nil {
			filter = map[string]any{}
		}
		for name, v := range c.query {
			if name == "limit" || name == "cursor" {
				req[name] = v
			} else if text, ok := v.(string); ok && (name == "status" || name == "priority") {
				filter[name] = strings.Split(text, ",")
			} else {
				filter[name] = v
			}
		}
		req["filter"] = filter
	case r.body != "":
		req[r.body] = body
	default:
		maps.Copy(req, body)
		maps.Copy(req, c.query)
	}
	if r.id != "" {
		req[r.id] = c.id
	}
	if r.key != "" {
		req[r.key] = c.key
	}
	if c.text != "" {
		req[map[string]string{"submit_jobs": "document", "put_profile": "text"}[c.op]] = c.text
		req["content_type"] = "application/yaml"
	}
	return req
}

func (d *grpcDriver) stream(t *testing.T, ctx context.Context, c call, of protoreflect.MethodDescriptor, procedure string, in proto.Message) outcome {
	t.Helper()
	s, err := d.conn.NewStream(ctx, &gogrpc.StreamDesc{ServerStreams: true}, procedure)
	must(t, err)
	must(t, s.SendMsg(in))
	must(t, s.CloseSend())
	var all []any
	for {
		out := newMessage(t, of.Output())
		err := s.RecvMsg(out)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return failureOf(t, err)
		}
		all = append(all, tree(t, out.ProtoReflect()))
	}
	switch c.op {
	case "job_events", "stream_events":
		var events []any
		for _, u := range all {
			if e := u.(map[string]any)["event"]; e != nil {
				events = append(events, e)
			}
		}
		return outcome{value: events}
	case "query_jobs":
		return outcome{value: map[string]any{
			"jobs": all, "total": json.Number(first(s.Trailer().Get("total"))), "next_cursor": first(s.Trailer().Get("next-cursor")),
		}}
	}
	return outcome{value: map[string]any{"items": all, "next_cursor": first(s.Trailer().Get("next-cursor"))}}
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// inWordsOfREST turns an answer that has another form into REST's.
func inWordsOfREST(t *testing.T, c call, v map[string]any) any {
	t.Helper()
	switch c.op {
	case "get_job":
		return v["job"]
	case "get_receipt":
		return v["document"]
	case "submit_jobs":
		if id := v["job_id"]; id != nil {
			return map[string]any{"job_ids": []any{id}, "accepted": json.Number("1")}
		}
		delete(v, "replayed") // REST says it in a header
	}
	return v
}

// failureOf takes a status apart.
func failureOf(t *testing.T, err error) outcome {
	t.Helper()
	s := status.Convert(err)
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			out := outcome{kind: info.GetMetadata()["kind"], code: info.GetReason(), message: s.Message(), fix: info.GetMetadata()["fix"]}
			if want := codesOfGRPC[out.kind]; s.Code() != want {
				t.Errorf("%s is answered with %v, want %v", out.kind, s.Code(), want)
			}
			for _, d := range s.Details() {
				if bad, ok := d.(*errdetails.BadRequest); ok {
					for _, v := range bad.GetFieldViolations() {
						out.items = append(out.items, v.GetReason())
					}
				}
			}
			return out
		}
	}
	t.Fatalf("an error without ErrorInfo: %v", err)
	return outcome{}
}

var codesOfGRPC = map[string]codes.Code{
	"invalid": codes.InvalidArgument, "unauthenticated": codes.Unauthenticated, "denied": codes.PermissionDenied, "not_found": codes.NotFound,
	"conflict": codes.FailedPrecondition, "unprocessable": codes.InvalidArgument, "exhausted": codes.ResourceExhausted,
}

func newMessage(t *testing.T, md protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName())
	must(t, err)
	return mt.New().Interface()
}

// tree is the JSON that REST would make of a message, decoded.
func tree(t *testing.T, m protoreflect.Message) map[string]any {
	t.Helper()
	out := map[string]any{}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			entries := map[string]any{}
			v.Map().Range(func(k protoreflect.MapKey, e protoreflect.Value) bool {
				entries[k.String()] = leaf(t, fd.MapValue(), e)
				return true
			})
			out[string(fd.Name())] = entries
		case fd.IsList():
			var all []any
			for i := range v.List().Len() {
				all = append(all, leaf(t, fd, v.List().Get(i)))
			}
			out[string(fd.Name())] = all
		default:
			out[string(fd.Name())] = leaf(t, fd, v)
		}
		return true
	})
	return out
}

func leaf(t *testing.T, fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	t.Helper()
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if ts, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			return ts.AsTime().Format(time.RFC3339Nano)
		}
		if s, ok := v.Message().Interface().(*structpb.Struct); ok {
			text, err := s.MarshalJSON()
			must(t, err)
			return parse(t, text)
		}
		return tree(t, v.Message())
	case protoreflect.BytesKind: // JSON within
		return parse(t, v.Bytes())
	default:
		text, err := json.Marshal(v.Interface())
		must(t, err)
		return parse(t, text)
	}
}
