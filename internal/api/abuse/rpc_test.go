package abuse_test

import (
	"encoding/binary"
	"strings"

	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
)

func rpcs() []abuse {
	frame := func(name, method string, body []byte, want string, headers ...string) abuse {
		return abuse{name: "gRPC: " + name, want: want, try: func(_ *world, c caller) string { return c.frames(method, body, headers...) }}
	}
	empty := envelope(0, 0, nil)
	return []abuse{
		{name: "gRPC: a message of 4 MiB", want: "InvalidArgument HX-GRPC-002", try: func(_ *world, c caller) string {
			return c.rpc("SubmitJobs", &pb.SubmitJobsRequest{Document: strings.Repeat("x", 4*mib)}, &pb.SubmitJobsResponse{})
		}},
		{name: "gRPC: 16 MiB in 16 KiB of gzip", want: "InvalidArgument HX-GRPC-002", try: func(_ *world, c caller) string {
			ctx, cancel := c.outgoing()
			defer cancel()
			in := &pb.SubmitJobsRequest{Document: strings.Repeat("x", 16*mib)}
			return inWord(c.world.conn.Invoke(ctx, procedures+"SubmitJobs", in, &pb.SubmitJobsResponse{}, gogrpc.UseCompressor(gzip.Name)))
		}},
		{name: "gRPC: an unknown field", want: "InvalidArgument HX-GRPC-004", try: func(_ *world, c caller) string {
			in := &pb.JobID{}
			in.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 4711, protowire.BytesType), "them"))
			return c.rpc("ExplainJob", in, &pb.Explanation{})
		}},
		{name: "gRPC: an unknown field inside", want: "InvalidArgument HX-GRPC-004", try: func(_ *world, c caller) string {
			job := &pb.JobSpec{VmPath: "/x"}
			job.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 4711, protowire.VarintType), 1))
			return c.rpc("SubmitJobs", &pb.SubmitJobsRequest{Jobs: []*pb.JobSpec{job}}, &pb.SubmitJobsResponse{})
		}},
		{name: "gRPC: an unknown method", want: "Unimplemented", try: func(_ *world, c caller) string {
			return c.rpc("DropTables", &emptypb.Empty{}, &emptypb.Empty{})
		}},
		{name: "gRPC: two request ids", want: "InvalidArgument HX-GRPC-005", try: func(_ *world, c caller) string {
			return c.rpc("SubmitJobs", &pb.SubmitJobsRequest{RequestId: "a", Jobs: []*pb.JobSpec{{VmPath: "/x"}}}, &pb.SubmitJobsResponse{}, "idempotency-key", "b")
		}},
		{name: "gRPC: a tenant in the metadata", want: "NotFound HX-JOB-041", try: func(w *world, c caller) string {
			return c.rpc("GetJobStatus", &pb.JobStatusRequest{JobId: w.them.job}, &pb.JobStatusResponse{}, "x-tenant", "them", "tenant", "them")
		}},
		frame("no time at all", "GetStatus", empty, "200 grpc-status 4", "Grpc-Timeout", "0n"),
		frame("a time that is none", "GetStatus", empty, "200 grpc-status 3", "Grpc-Timeout", "99999999999999999999n"),
		frame("a message that claims 4 GiB", "GetStatus", envelope(0, 1<<32-1, []byte("x")), "200 grpc-status 3"),
		frame("half a message", "GetStatus", envelope(0, 100, []byte("x")), "200 grpc-status 13"),
		frame("half a head", "GetStatus", empty[:3], "200 grpc-status 13"),
		frame("no message", "GetStatus", nil, "200 grpc-status 12"),
		frame("two messages", "GetStatus", append(empty, empty...), "200 grpc-status 12"),
		frame("compressed, it does not say how", "GetStatus", envelope(1, 1, []byte("x")), "200 grpc-status 13"),
		frame("an unknown compression", "GetStatus", empty, "200 grpc-status 12", "Grpc-Encoding", "bomb"),
		frame("a message that is none", "ExplainJob", envelope(0, 3, []byte("\xff\xff\xff")), "200 grpc-status 3"),
		frame("unknown flags", "GetStatus", envelope(0xff, 0, nil), "200 grpc-status 13"),
		post("Connect: an unknown key", procedures+"ExplainJob", `{"id":"x","tenant":"them"}`, "400 invalid_argument"),
		post("Connect: a repeated key", procedures+"ExplainJob", `{"id":"x","id":"y"}`, "400 invalid_argument"),
		post("Connect: depth 1e5", procedures+"SubmitJobs", `{"jobs":`+strings.Repeat("[", 100_000), "400 invalid_argument"),
		call("Connect: GET", "GET", procedures+"GetStatus", "", "405 HX-API-002"),
	}
}

// envelope is a message with its head, which may lie about the length.
func envelope(flags byte, length uint32, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, length), message...)
}
