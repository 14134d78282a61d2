package grpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// TestDoor are the tests that leave the world as it is, or do not mind.
func TestDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]func(t *testing.T, w *world){
		"errors": testErrors, "nobody enters": testNobodyEnters, "compressed bomb": testCompressedBomb,
		"Connect": testConnectJSON, "idempotency": testIdempotency, "reflection": testReflection,
	} {
		t.Run(name, func(t *testing.T) { test(t, w) })
	}
}

func TestUnary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	got, err := call[pb.JobStatusResponse](w, "GetJobStatus", &pb.JobStatusRequest{JobId: id})
	must(t, err)
	if j := got.GetJob(); j.GetId() != id || j.GetStatus() != "pending" || j.GetSpec().GetVmPath() != "/DC/vm/web-01" || j.GetSubmittedAt() == nil {
		t.Errorf("%v", j)
	}
	l := w.claim()
	w.complete(l)
	receipt, err := call[pb.Receipt](w, "GetReceipt", &pb.JobID{Id: id})
	must(t, err)
	if string(receipt.GetDocument()) != `{"receipt": {"version":1}, "signature":{}}` {
		t.Errorf("the signed bytes came as %s", receipt.GetDocument())
	}
}

// The field numbers of the roadmap are what old clients send.
func TestRoadmapFieldNumbers(t *testing.T) {
	t.Parallel()
	var raw []byte
	for number, text := range map[protowire.Number]string{1: "/DC/vm/web-01", 2: "qcow2", 3: "out"} {
		raw = protowire.AppendString(protowire.AppendTag(raw, number, protowire.BytesType), text)
	}
	raw = protowire.AppendVarint(protowire.AppendTag(raw, 4, protowire.VarintType), 1)
	in := &pb.JobRequest{}
	must(t, proto.Unmarshal(raw, in))
	if in.GetVmPath() != "/DC/vm/web-01" || in.GetFormat() != "qcow2" || in.GetOutputPath() != "out" || !in.GetCompress() {
		t.Errorf("%v", in)
	}
}

func testErrors(t *testing.T, w *world) {
	id := w.submit()
	unknownField := &pb.JobStatusRequest{JobId: id}
	unknownField.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	inStep := &pb.Step{Id: "a", Type: "export"}
	inStep.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 98, protowire.VarintType), 1))
	for name, c := range map[string]struct {
		method string
		in     proto.Message
		code   codes.Code
		reason string
	}{
		"not found":               {"GetJobStatus", &pb.JobStatusRequest{JobId: "x"}, codes.NotFound, "HX-JOB-041"},
		"conflict":                {"GetReceipt", &pb.JobID{Id: id}, codes.FailedPrecondition, "HX-JOB-020"},
		"invalid":                 {"ListJobs", &pb.ListJobsRequest{Limit: -1}, codes.InvalidArgument, "HX-JOB-021"},
		"unprocessable":           {"SubmitJob", &pb.JobRequest{VmPath: "x", Provider: "none"}, codes.InvalidArgument, "HX-TEST-001"},
		"unknown field":           {"GetJobStatus", unknownField, codes.InvalidArgument, "HX-GRPC-004"},
		"unknown field of a step": {"SubmitJob", &pb.JobRequest{Jobs: []*pb.Step{inStep}}, codes.InvalidArgument, "HX-GRPC-004"},
		"a time that is none":     {"SubmitJob", &pb.JobRequest{VmPath: "x", NotBefore: &timestamppb.Timestamp{Nanos: -1}}, codes.InvalidArgument, "HX-GRPC-003"},
		"field of another step":   {"SubmitJob", &pb.JobRequest{Jobs: []*pb.Step{{Id: "a", Type: "export", VmPath: "x", Url: "http://x"}}}, codes.InvalidArgument, "HX-JOB-004"},
		"export and workflow":     {"SubmitJob", &pb.JobRequest{VmPath: "x", Jobs: []*pb.Step{{Id: "a", Type: "export", VmPath: "x"}}}, codes.InvalidArgument, "HX-JOB-004"},
		"too large":               {"SubmitJob", &pb.JobRequest{VmPath: strings.Repeat("x", 1<<20)}, codes.InvalidArgument, "HX-GRPC-002"},
		"no jobs":                 {"SubmitJobs", &pb.SubmitJobsRequest{}, codes.InvalidArgument, "HX-JOB-013"},
		"two ids":                 {"SubmitJob", &pb.JobRequest{VmPath: "x", RequestId: strings.Repeat("x", 300)}, codes.InvalidArgument, "HX-JOB-015"},
	} {
		failed(t, w.conn.Invoke(w.as(), svc+c.method, c.in, &pb.Job{}), c.code, c.reason)
		_ = name
	}
}

// What is said of an error beside its code.
func TestErrorDetails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := call[pb.SubmitJobsResponse](w, "SubmitJobs", &pb.SubmitJobsRequest{Jobs: []*pb.JobSpec{{VmPath: "a", Provider: "none"}, {VmPath: "b", Provider: "nil"}}})
	s := failed(t, err, codes.InvalidArgument, "HX-JOB-011")
	info, bad := detail[errdetails.ErrorInfo](s), detail[errdetails.BadRequest](s)
	if info.GetDomain() != "hypervisord" || info.GetMetadata()["kind"] != "unprocessable" || info.GetMetadata()["fix"] == "" || info.GetMetadata()["request_id"] == "" {
		t.Errorf("%v", info)
	}
	if v := bad.GetFieldViolations(); len(v) != 2 || v[1].GetField() != "jobs[1]" || v[1].GetReason() != "HX-TEST-001" || !strings.Contains(v[1].GetDescription(), "nil") {
		t.Errorf("%v", v)
	}
	w.inv.err = fault.Wrap(errors.New("password hunter2"), fault.Unavailable, "HX-TEST-003", "no answer", "wait")
	_, err = call[pb.ListVMsResponse](w, "ListVMs", &pb.ListVMsRequest{})
	s = failed(t, err, codes.Unavailable, "HX-TEST-003")
	if detail[errdetails.RetryInfo](s).GetRetryDelay().GetSeconds() <= 0 || strings.Contains(s.String(), "hunter2") {
		t.Errorf("%v", s)
	}
	w.inv.fail = func() { panic("hunter2") }
	_, err = call[pb.ListVMsResponse](w, "ListVMs", &pb.ListVMsRequest{})
	if s = failed(t, err, codes.Internal, "HX-INT-004"); strings.Contains(s.String(), "hunter2") {
		t.Errorf("%v", s)
	}
}

func testNobodyEnters(t *testing.T, w *world) {
	for name, ctx := range map[string]context.Context{
		"no key": metadata.NewOutgoingContext(t.Context(), nil), "wrong": w.as("x-api-key", "hvk_WRONG"), "wrong bearer": w.as("x-api-key", "", "authorization", "Bearer x"),
	} {
		err := w.conn.Invoke(ctx, svc+"GetStatus", &pb.GetStatusRequest{}, &pb.Status{})
		if s := status.Convert(err); s.Code() != codes.Unauthenticated || !strings.HasPrefix(detail[errdetails.ErrorInfo](s).GetReason(), "HX-AUTH-") {
			t.Errorf("%s: %v", name, s)
		}
	}
	must(t, w.conn.Invoke(metadata.NewOutgoingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+key)), svc+"GetStatus", &pb.GetStatusRequest{}, &pb.Status{}))
	if err := w.conn.Invoke(w.as(), svc+"NoSuchMethod", &pb.JobID{}, &pb.JobID{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
}

// A message that is small on the wire and large in memory.
func testCompressedBomb(t *testing.T, w *world) {
	raw, err := proto.Marshal(&pb.JobRequest{VmPath: strings.Repeat("x", 8<<20)})
	must(t, err)
	body := gzipped(t, raw)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+svc+"SubmitJob", bytes.NewReader(body))
	must(t, err)
	req.Header = http.Header{"X-Api-Key": {key}, "Content-Type": {"application/proto"}, "Content-Encoding": {"gzip"}}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	if len(body) > 100_000 || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HX-GRPC-002") && !strings.Contains(string(text), "1 MiB") {
		t.Errorf("%d bytes: %d %s", len(body), res.StatusCode, text)
	}
}

// The same port speaks Connect: JSON over HTTP/1.1, with the names of REST.
func testConnectJSON(t *testing.T, w *world) {
	id := w.submit()
	post := func(body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+svc+"GetJobStatus", strings.NewReader(body))
		must(t, err)
		req.Header = http.Header{"X-Api-Key": {key}, "Content-Type": {"application/json"}}
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(text)
	}
	if code, text := post(`{"job_id":"` + id + `"}`); code != http.StatusOK || !strings.Contains(text, `"vm_path":`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := post(`{"job_id":"` + id + `","nonsense":1}`); code != http.StatusBadRequest {
		t.Errorf("%d %s", code, text)
	}
}

func testIdempotency(t *testing.T, w *world) {
	in := &pb.JobRequest{VmPath: "a", RequestId: "r1"}
	first, err := call[pb.JobResponse](w, "SubmitJob", in)
	must(t, err)
	again, err := call[pb.JobResponse](w, "SubmitJob", in)
	must(t, err)
	if first.GetReplayed() || !again.GetReplayed() || first.GetJobId() != again.GetJobId() {
		t.Errorf("%v, then %v", first, again)
	}
	byHeader := &pb.JobResponse{}
	must(t, w.conn.Invoke(w.as("idempotency-key", "r1"), svc+"SubmitJob", &pb.JobRequest{VmPath: "a"}, byHeader))
	if byHeader.GetJobId() != first.GetJobId() {
		t.Errorf("%v", byHeader)
	}
	failed(t, w.conn.Invoke(w.as("idempotency-key", "r2"), svc+"SubmitJob", in, byHeader), codes.InvalidArgument, "HX-GRPC-005")
	failed(t, w.conn.Invoke(w.as(), svc+"SubmitJob", &pb.JobRequest{VmPath: "b", RequestId: "r1"}, byHeader), codes.InvalidArgument, "HX-JOB-012")
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.submit()
	}
	seen := map[string]bool{}
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		s := w.stream(w.as(), svc+"ListJobs", &pb.ListJobsRequest{Limit: 2, Cursor: cursor, Filter: &pb.JobFilter{Status: []string{"pending"}}})
		for {
			j := &pb.Job{}
			err := s.RecvMsg(j)
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			if seen[j.GetId()] {
				t.Errorf("%s is on two pages", j.GetId())
			}
			seen[j.GetId()] = true
		}
		if total := s.Trailer().Get("total"); len(total) != 1 || total[0] != "5" {
			t.Errorf("total %v", total)
		}
		cursor = strings.Join(s.Trailer().Get("next-cursor"), "")
	}
	if len(seen) != 5 {
		t.Errorf("%d of 5 jobs are on the pages", len(seen))
	}
}

func testReflection(t *testing.T, w *world) {
	s, err := reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(t.Context()) // open to everybody
	must(t, err)
	ask := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		must(t, s.Send(r))
		got, err := s.Recv()
		must(t, err)
		return got
	}
	var names []string
	for _, svc := range ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		names = append(names, svc.GetName())
	}
	if got := strings.Join(names, " "); got != "hypervisord.v1.HypervisordService grpc.health.v1.Health" && got != "grpc.health.v1.Health hypervisord.v1.HypervisordService" {
		t.Errorf("services %s", got)
	}
	for _, symbol := range []string{"hypervisord.v1.HypervisordService", "grpc.health.v1.Health", "google.rpc.ErrorInfo"} {
		got := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}})
		files := got.GetFileDescriptorResponse().GetFileDescriptorProto()
		if len(files) == 0 {
			t.Errorf("%s: %v", symbol, got)
			continue
		}
		must(t, proto.Unmarshal(files[0], &descriptorpb.FileDescriptorProto{}))
	}
	// What else the program holds is nobody's business.
	if got := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "io.prometheus.client.Metric"}}); got.GetErrorResponse() == nil {
		t.Errorf("%v", got)
	}
	must(t, s.CloseSend())
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := grpc_health_v1.NewHealthClient(w.conn)
	for _, name := range []string{"", "hypervisord.v1.HypervisordService"} {
		got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
		must(t, err)
		if got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v", name, got)
		}
	}
	_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "x"})
	failed(t, err, codes.NotFound, "HX-GRPC-012")
}

// What asks for no credential is limited by address; the service is not.
func TestStrangersAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *deps, _ *http.Server) {
		d.Gate.Behind(nil, nil)
		d.Gate.LimitStrangers(1, 2, nil, nil)
	})
	client := grpc_health_v1.NewHealthClient(w.conn)
	for range 2 {
		_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		must(t, err)
	}
	_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	failed(t, err, codes.ResourceExhausted, "HX-GATE-005")
	failed(t, w.conn.Invoke(t.Context(), "/hypervisord.v1.HypervisordService/Nothing", &pb.GetStatusRequest{}, &pb.Status{}), codes.ResourceExhausted, "HX-GATE-005")
	reflection, err := reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(t.Context())
	must(t, err)
	_, err = reflection.Recv()
	failed(t, err, codes.ResourceExhausted, "HX-GATE-005")
	if _, err := call[pb.Status](w, "GetStatus", &pb.GetStatusRequest{}); err != nil {
		t.Error("with a key: ", err)
	}
}

func gzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(raw)
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

// Log and metrics name the method and know an error for one, although HTTP says 200.
func TestObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := call[pb.JobStatusResponse](w, "GetJobStatus", &pb.JobStatusRequest{JobId: "x"})
	failed(t, err, codes.NotFound, "HX-JOB-041")
	_, err = call[pb.Status](w, "GetStatus", &pb.GetStatusRequest{})
	must(t, err)
	want := []string{svc + "GetJobStatus 404", svc + "GetStatus 200"}
	for deadline := time.Now().Add(10 * time.Second); ; { // a request is over a moment after its answer
		w.mu.Lock()
		seen := slices.Clone(w.seen)
		w.mu.Unlock()
		if slices.Sort(seen); slices.Equal(seen, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, want %v", seen, want)
		}
		runtime.Gosched()
	}
}

// A client that does not send its message is told so in time, by either version of
// HTTP.
func TestSlowMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.SetBodyTime(50 * time.Millisecond)
	for _, http2 := range []bool{false, true} {
		p := new(http.Protocols)
		p.SetHTTP1(!http2)
		p.SetUnencryptedHTTP2(http2)
		transport := &http.Transport{Protocols: p}
		body, stuck := io.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+svc+"GetStatus", body)
		must(t, err)
		req.Header = http.Header{"X-Api-Key": {key}, "Content-Type": {"application/json"}}
		res, err := transport.RoundTrip(req)
		must(t, err)
		text, err := io.ReadAll(res.Body)
		must(t, errors.Join(err, res.Body.Close(), stuck.Close()))
		if !strings.Contains(string(text), "deadline_exceeded") || !strings.Contains(string(text), "did not arrive in time") {
			t.Errorf("HTTP/2 %v: %d %s", http2, res.StatusCode, text)
		}
		transport.CloseIdleConnections()
	}
}
