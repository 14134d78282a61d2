// Package otlp sends telemetry to a collector: OTLP over HTTP, in protobuf. The
// clients that come with OpenTelemetry would link gRPC (ADR 26).
package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/version"
)

const (
	postTime  = 10 * time.Second // for one request, unless somebody says otherwise
	firstWait = time.Second      // before the second try, doubled for each further one
	maxAnswer = 64 << 10         // bytes
)

// Client sends one signal.
type Client struct {
	c    Config
	what string
	http *http.Client
}

// New makes a Client. The configuration has an endpoint.
func New(c Config, signal Signal) *Client {
	what := map[Signal]string{Traces: "spans", Logs: "log records"}[signal]
	return &Client{c: c, what: what, http: &http.Client{
		Timeout:       cmp.Or(c.Timeout, postTime),
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Send sends a batch, and again what the collector may take later, until ctx is
// done. Kinds: as Post.
func (c *Client) Send(ctx context.Context, batch proto.Message) error {
	body, err := c.encode(batch)
	if err != nil {
		return err
	}
	for wait := firstWait; ; wait *= 2 {
		after, err := c.post(ctx, body)
		if err == nil || !fault.KindOf(err).Retryable() {
			return err
		}
		timer := time.NewTimer(max(wait, after))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// Post sends a batch once. It returns nil if the collector took all of it. Kinds
// Unavailable (try again), Unprocessable.
func (c *Client) Post(ctx context.Context, batch proto.Message) error {
	body, err := c.encode(batch)
	if err == nil {
		_, err = c.post(ctx, body)
	}
	return err
}

// encode writes a message that has the wire format of the signal's request, as
// TracesData and LogsData have.
func (c *Client) encode(batch proto.Message) ([]byte, error) {
	body, err := proto.Marshal(batch)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.what, err)
	}
	if !c.c.Gzip {
		return body, nil
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(body)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("compress %s: %w", c.what, err)
	}
	return b.Bytes(), nil
}

// post sends a body once; after is how long the collector wants to be left alone.
func (c *Client) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.c.Endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return 0, fault.Wrap(err, fault.Unprocessable, "HX-TRACE-002", "the collector cannot be called", "")
	}
	for key, value := range c.c.Headers {
		req.Header.Set(key, value.Reveal())
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "hypervisord/"+version.String())
	if c.c.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := c.http.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the URL may hold a password
		}
		return 0, fault.Wrap(err, fault.Unavailable, "HX-TRACE-003", "the collector at "+c.c.Endpoint.Host+" does not answer", "check its endpoint, and the collector")
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		if err != nil {
			return 0, fault.Wrap(err, fault.Unavailable, "HX-TRACE-003", "the collector at "+c.c.Endpoint.Host+" broke its answer off", "")
		}
		if n := rejected(answer); n > 0 {
			return 0, fault.Newf(fault.Unprocessable, "HX-TRACE-007", "see the collector's log", "the collector at %s rejected %d %s", c.c.Endpoint.Host, n, c.what)
		}
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return time.Duration(max(0, seconds)) * time.Second,
			fault.Newf(fault.Unavailable, "HX-TRACE-003", "", "the collector at %s answered %d", c.c.Endpoint.Host, res.StatusCode)
	}
	return 0, fault.Newf(fault.Unprocessable, "HX-TRACE-004", "check its endpoint and headers",
		"the collector at %s refused %s with %d", c.c.Endpoint.Host, c.what, res.StatusCode)
}

// rejected reads how many records of the batch an Export…ServiceResponse says that
// the collector did not take: field 1 of its partial_success. An answer that is no
// such message rejects nothing.
func rejected(answer []byte) int64 {
	partial := field(answer, 1)
	if partial == nil {
		return 0
	}
	for len(partial) > 0 {
		number, kind, n := protowire.ConsumeTag(partial)
		if n < 0 {
			return 0
		}
		if number == 1 && kind == protowire.VarintType {
			count, n := protowire.ConsumeVarint(partial[n:])
			if n < 0 {
				return 0
			}
			return int64(count)
		}
		partial = skip(partial, number, kind, n)
	}
	return 0
}

// field returns the bytes of a field; nil: it is not there.
func field(message []byte, want protowire.Number) []byte {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		if number == want && kind == protowire.BytesType {
			b, n := protowire.ConsumeBytes(message[n:])
			if n < 0 {
				return nil
			}
			return b
		}
		message = skip(message, number, kind, n)
	}
	return nil
}

// skip leaves a field out, of which the tag has n bytes.
func skip(message []byte, number protowire.Number, kind protowire.Type, n int) []byte {
	m := protowire.ConsumeFieldValue(number, kind, message[n:])
	if m < 0 {
		return nil
	}
	return message[n+m:]
}
