package abuse_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// caller calls from an address of its own, so that what it does wrong counts for
// itself alone.
type caller struct {
	t      *testing.T
	world  *world
	key    string
	client *http.Client
}

func (w *world) caller(ip, key string) caller {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return caller{t: w.t, world: w, key: key, client: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// as is the caller with another key.
func (c caller) as(key string) caller {
	c.key = key
	return c
}

type answer struct {
	status int
	header http.Header
	body   string
}

// patience is for one answer: what must be refused may be a stream without an end.
const patience = 20 * time.Second

// do makes one call with the key, as JSON unless a header says otherwise. headers
// are pairs; Host is one, too.
func (c caller) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, headers...)
	must(c.t, err)
	return a
}

func (c caller) try(method, path, body string, headers ...string) (answer, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.world.addr+path, strings.NewReader(body))
	must(c.t, err)
	if c.key != "" {
		req.Header.Set("X-Api-Key", c.key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header[http.CanonicalHeaderKey(headers[i])] = []string{headers[i+1]}
	}
	res, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

// rest is do in a word: the status, and the code of the problem if there is one.
func (c caller) rest(method, path, body string, headers ...string) string {
	c.t.Helper()
	return c.do(method, path, body, headers...).word()
}

// word is the status and the code of the first error.
func (a answer) word() string {
	var p struct {
		Code   string `json:"code"`
		Errors []struct {
			Extensions struct {
				Code string `json:"code"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	if json.Unmarshal([]byte(a.body), &p) == nil && len(p.Errors) > 0 && p.Code == "" {
		p.Code = p.Errors[0].Extensions.Code
	}
	return strings.TrimSpace(fmt.Sprint(a.status, " ", p.Code))
}

// graph makes one call by GraphQL.
func (c caller) graph(query string, vars map[string]any) string {
	c.t.Helper()
	text, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	must(c.t, err)
	return c.rest("POST", "/graphql", string(text))
}

// raw writes text to a connection of its own and reads one answer; "closed" if there
// is none. The texts know no other host than x.
func (c caller) raw(addr, text string) string {
	c.t.Helper()
	conn := c.dial(addr)
	defer func() { _ = conn.Close() }()
	_, err := io.WriteString(conn, text)
	must(c.t, err)
	return answerOf(conn)
}

func (c caller) dial(addr string) net.Conn {
	c.t.Helper()
	conn, err := c.client.Transport.(*http.Transport).DialContext(c.t.Context(), "tcp", addr)
	must(c.t, err)
	must(c.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn
}

func answerOf(conn net.Conn) string {
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "closed"
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(res.Body) // what comes before the connection is cut
	return answer{res.StatusCode, res.Header, string(text)}.word()
}

// rpc makes one call by grpc-go, from its own address: the code, and the reason.
func (c caller) rpc(method string, in, out proto.Message, headers ...string) string {
	c.t.Helper()
	ctx, cancel := c.outgoing(headers...)
	defer cancel()
	return inWord(c.world.conn.Invoke(ctx, procedures+method, in, out))
}

const procedures = "/hypervisord.v1.HypervisordService/"

func (c caller) outgoing(headers ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	return metadata.AppendToOutgoingContext(metadata.AppendToOutgoingContext(ctx, "x-api-key", c.key), headers...), cancel
}

func inWord(err error) string {
	s := status.Convert(err)
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return s.Code().String() + " " + info.GetReason()
		}
	}
	return s.Code().String()
}

// frames sends bytes as a call by gRPC and tells the code of its status, as a number.
func (c caller) frames(method string, body []byte, headers ...string) string {
	c.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.world.addr+procedures+method, bytes.NewReader(body))
	must(c.t, err)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	req.Header.Set("X-Api-Key", c.key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	must(c.t, err)
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	must(c.t, err)
	code := res.Trailer.Get("Grpc-Status")
	if code == "" {
		code = res.Header.Get("Grpc-Status") // an answer of trailers only
	}
	return fmt.Sprint(res.StatusCode, " grpc-status ", code)
}

// names is a resolver: what begins with "metadata" leads to the cloud's own address,
// the rest into this machine, as a name does whose owner has moved it since it was
// looked at.
func names(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer func() { _ = server.Close() }()
		buf := make([]byte, 1<<16)
		for { // a stream, as over TCP: two bytes of length before each message
			if _, err := io.ReadFull(server, buf[:2]); err != nil {
				return
			}
			n := int(buf[0])<<8 | int(buf[1])
			if _, err := io.ReadFull(server, buf[:n]); err != nil {
				return
			}
			text := resolve(buf[:n])
			if _, err := server.Write(append([]byte{byte(len(text) >> 8), byte(len(text))}, text...)); err != nil {
				return
			}
		}
	}()
	return client, nil
}

func resolve(question []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	h.Response, h.RecursionAvailable = true, true
	b := dnsmessage.NewBuilder(nil, h)
	_ = b.StartQuestions()
	_ = b.Question(q)
	_ = b.StartAnswers()
	if q.Type == dnsmessage.TypeA {
		to := [4]byte{127, 0, 0, 1}
		if strings.HasPrefix(q.Name.String(), "metadata") {
			to = [4]byte{169, 254, 169, 254}
		}
		_ = b.AResource(dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, dnsmessage.AResource{A: to}) // TTL 0
	}
	text, _ := b.Finish()
	return text
}
