package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/client"
)

// door is one client, with a connection of its own; those of HTTP/2 share one, as the
// callers within a program do, unless told otherwise. Each call decodes its
// answer.
type door interface {
	submit(ctx context.Context) error
	get(ctx context.Context, id string) error
	list(ctx context.Context) error // the newest 50 jobs
	close()
}

const page = 50

// overHTTP2 is REST over the protocol that gRPC has, and a browser, or a Go program,
// over TLS.
const overHTTP2 = "REST by HTTP/2"

func open(name string, d *daemon) (door, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	switch name {
	case "REST":
		return &restDoor{web{&http.Client{Transport: transport}, "http://" + d.addr, d.key}}, nil
	case overHTTP2:
		if d.web == nil {
			transport.Protocols = new(http.Protocols)
			transport.Protocols.SetUnencryptedHTTP2(true)
			d.web = &http.Client{Transport: transport}
		}
		return &restDoor{web{d.web, "http://" + d.addr, d.key}}, nil
	case "GraphQL":
		return &graphDoor{web{&http.Client{Transport: transport}, "http://" + d.addr, d.key}}, nil
	}
	md := metadata.Pairs("x-api-key", d.key)
	if name == "gRPC" && d.channel != nil {
		return &grpcDoor{d.channel, md}, nil
	}
	conn, err := grpc.NewClient(d.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if name == "gRPC" {
		d.channel = conn
	}
	return &grpcDoor{conn, md}, err
}

// call is one operation of a client; clients go through the jobs in step.
func call(d door, op string, ids []string) func(context.Context) error {
	var next atomic.Int64
	return func(ctx context.Context) error {
		switch op {
		case "submit":
			return d.submit(ctx)
		case "get":
			return d.get(ctx, ids[int(next.Add(1))%len(ids)])
		}
		return d.list(ctx)
	}
}

// web is JSON over HTTP.
type web struct {
	http *http.Client
	base string
	key  string
}

func (w *web) close() { w.http.CloseIdleConnections() }

func (w *web) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if w.key != "" {
		req.Header.Set("X-Api-Key", w.key)
	}
	res, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

type restDoor struct{ web }

func (d *restDoor) submit(ctx context.Context) error {
	var out struct {
		JobIDs []string `json:"job_ids"`
	}
	return errors.Join(d.do(ctx, http.MethodPost, "/jobs/submit", spec(), &out), some(len(out.JobIDs), 1))
}

func (d *restDoor) get(ctx context.Context, id string) error {
	var out client.Job
	return errors.Join(d.do(ctx, http.MethodGet, "/jobs/"+id, nil, &out), same(out.ID, id))
}

func (d *restDoor) list(ctx context.Context) error {
	var out struct {
		Items []client.Job `json:"items"`
	}
	return errors.Join(d.do(ctx, http.MethodGet, "/jobs?limit=50", nil, &out), some(len(out.Items), page))
}

type graphDoor struct{ web }

// fields are what REST tells of a job that waits.
const fields = "{id tenant spec status priority waitReason attempt maxAttempts submittedAt notBefore}"

// graphJob is a job with those fields.
type graphJob struct {
	ID          string
	Tenant      string
	Spec        client.Spec
	Status      string
	Priority    string
	WaitReason  string
	Attempt     int
	MaxAttempts int
	SubmittedAt time.Time
	NotBefore   *time.Time
}

func (d *graphDoor) query(ctx context.Context, text string, variables map[string]any, data any) error {
	var out struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := d.do(ctx, http.MethodPost, "/graphql", map[string]any{"query": text, "variables": variables}, &out); err != nil {
		return err
	}
	if len(out.Errors) > 0 {
		return fmt.Errorf("GraphQL: %s", out.Errors[0].Message)
	}
	return json.Unmarshal(out.Data, data)
}

func (d *graphDoor) submit(ctx context.Context) error {
	s := spec()
	var out struct{ SubmitJob struct{ ID string } }
	err := d.query(ctx, "mutation($in: JobInput!){submitJob(input: $in){id}}", map[string]any{"in": map[string]any{
		"vmPath": s.VMPath, "format": s.Format, "outputPath": s.OutputPath, "notBefore": s.NotBefore, "labels": s.Labels,
	}}, &out)
	return errors.Join(err, some(len(out.SubmitJob.ID), 36))
}

func (d *graphDoor) get(ctx context.Context, id string) error {
	var out struct{ Job graphJob }
	return errors.Join(d.query(ctx, "query($id: ID!){job(id: $id)"+fields+"}", map[string]any{"id": id}, &out), same(out.Job.ID, id))
}

func (d *graphDoor) list(ctx context.Context) error {
	var out struct{ Jobs []graphJob }
	return errors.Join(d.query(ctx, "{jobs(limit: 50)"+fields+"}", nil, &out), some(len(out.Jobs), page))
}

type grpcDoor struct {
	conn *grpc.ClientConn
	md   metadata.MD
}

const methods = "/hypervisord.v1.HypervisordService/"

func (d *grpcDoor) close() { _ = d.conn.Close() }

func (d *grpcDoor) submit(ctx context.Context) error {
	s, out := spec(), &pb.JobResponse{}
	err := d.conn.Invoke(metadata.NewOutgoingContext(ctx, d.md), methods+"SubmitJob", &pb.JobRequest{
		VmPath: s.VMPath, Format: s.Format, OutputPath: s.OutputPath, NotBefore: timestamppb.New(*s.NotBefore), Labels: s.Labels,
	}, out)
	return errors.Join(err, some(len(out.GetJobId()), 36))
}

func (d *grpcDoor) get(ctx context.Context, id string) error {
	out := &pb.JobStatusResponse{}
	err := d.conn.Invoke(metadata.NewOutgoingContext(ctx, d.md), methods+"GetJobStatus", &pb.JobStatusRequest{JobId: id}, out)
	return errors.Join(err, same(out.GetJob().GetId(), id))
}

func (d *grpcDoor) list(ctx context.Context) error {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, d.md))
	defer cancel()
	s, err := d.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methods+"ListJobs")
	if err != nil {
		return err
	}
	if err := errors.Join(s.SendMsg(&pb.ListJobsRequest{Limit: page}), s.CloseSend()); err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := s.RecvMsg(&pb.Job{})
		if errors.Is(err, io.EOF) {
			return some(n, page)
		}
		if err != nil {
			return err
		}
	}
}

func some(got, want int) error {
	if got != want {
		return fmt.Errorf("%d in the answer, want %d", got, want)
	}
	return nil
}

func same(got, want string) error {
	if got != want {
		return fmt.Errorf("the answer is about %q, want %q", got, want)
	}
	return nil
}
