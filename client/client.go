// Package client is the Go client of hypervisord.
//
// Its types are written out here and not borrowed from the daemon: a program
// that uses them must be able to see and to name them, and the daemon's own are
// internal. They are the only second copy: the OpenAPI document is derived from
// the daemon's types, and a test beside the daemon compares these with that
// document, field by field and in both directions.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options set a Client up; the zero value talks to a daemon without
// authentication.
type Options struct {
	APIKey string
	// Token returns the token of an OpenID Connect issuer for the next request, if
	// there is no APIKey. It is asked before each; it must remember, and renew what
	// expires.
	Token func(ctx context.Context) (string, error)
	// HTTPClient carries the requests, e.g. for a CA of your own. It should have
	// no Timeout: that would cut event streams. Not for unix sockets.
	HTTPClient *http.Client
	// TLS says whom to trust, if HTTPClient does not; nil: the system's CAs.
	TLS       *tls.Config
	UserAgent string
}

// Client talks to one daemon. Its methods may be called concurrently. They
// repeat a request that got no answer, or one of status 502, 503 or 504: what
// changes anything carries an idempotency key, so that it is done once. An error is
// an *Error, that of the context, or that of Options.Token.
type Client struct {
	base  *url.URL
	http  *http.Client
	sign  func(ctx context.Context, h http.Header) error // adds the credential, which no printer of a Client can see
	keyed *keys                                          // nil: each call has a key by chance
}

const (
	attempts    = 5                      // of one request
	firstPause  = 200 * time.Millisecond // before the second, doubled for each further one
	longPause   = 10 * time.Second       // the longest one
	requestTime = time.Minute            // for one attempt
	maxAnswer   = 64 << 20               // bytes
	schemeUnix  = "unix"
)

// New returns a client of the daemon at a base URL: http://HOST:PORT,
// https://HOST/PREFIX or unix:///PATH.
func New(baseURL string, o Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https" && u.Scheme != schemeUnix, u.Scheme != schemeUnix && u.Host == "":
		return nil, &Error{Code: "HX-CLIENT-001", Detail: fmt.Sprintf("%.100q is no URL of a daemon", baseURL),
			Fix: "give http://HOST:PORT, https://HOST or unix:///PATH"}
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, &Error{Code: "HX-CLIENT-002", Detail: "the URL of the daemon holds more than scheme, host and path",
			Fix: "give the API key by itself"}
	}
	c := &Client{base: u, http: o.HTTPClient}
	switch socket := u.Scheme == schemeUnix; {
	case socket && o.HTTPClient != nil:
		return nil, &Error{Code: "HX-CLIENT-003", Detail: "an HTTP client of your own cannot talk to a unix socket", Fix: "leave it out"}
	case socket:
		c.base, c.http = &url.URL{Scheme: "http", Host: "localhost"}, newHTTP(u.Path, nil)
	case c.http == nil:
		c.http = newHTTP("", o.TLS)
	}
	agent := cmp.Or(o.UserAgent, "hypersdk-client")
	c.sign = func(ctx context.Context, h http.Header) error {
		h.Set("User-Agent", agent)
		credential := o.APIKey
		if credential == "" && o.Token != nil {
			var err error
			if credential, err = o.Token(ctx); err != nil {
				return err
			}
		}
		if credential != "" {
			h.Set("Authorization", "Bearer "+credential)
		}
		return nil
	}
	return c, nil
}

// newHTTP returns an HTTP client that follows no redirect, over a unix socket if
// one is named.
func newHTTP(socket string, trust *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		ForceAttemptHTTP2: true, TLSClientConfig: trust, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute,
	}
	if socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// call is one request and where its answer goes.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
	out          any
	also         int // a status besides 2xx whose body goes to out
}

func get(path string, query url.Values, out any) call {
	return call{method: http.MethodGet, path: path, query: query, out: out}
}

func post(path string, in, out any) (call, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return call{}, fmt.Errorf("encode the request: %w", err)
	}
	return call{method: http.MethodPost, path: path, body: body, out: out, header: http.Header{"Content-Type": {"application/json"}}}, nil
}

// do makes the request, again if that is of use.
func (c *Client) do(ctx context.Context, q call) error {
	if q.method != http.MethodGet && q.header.Get(headerKey) == "" {
		if q.header = q.header.Clone(); q.header == nil {
			q.header = http.Header{}
		}
		q.header.Set(headerKey, c.keyed.next())
	}
	for attempt := 1; ; attempt++ {
		wait, err := c.once(ctx, q)
		if err == nil || !isTransient(err) || attempt == attempts {
			return err
		}
		if err := pause(ctx, max(wait, backoff(attempt))); err != nil {
			return err
		}
	}
}

// once makes the request once. wait is what the daemon asked for.
func (c *Client) once(ctx context.Context, q call) (wait time.Duration, err error) {
	limited, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	res, err := c.send(limited, q)
	if err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 && res.StatusCode != q.also {
		return retryAfter(res), errorOf(res)
	}
	if err := decode(io.LimitReader(res.Body, maxAnswer), q.out); err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, &Error{Code: "HX-CLIENT-005", Detail: "the daemon's answer broke off or is no JSON", Fix: "is it hypervisord that listens there?",
			RequestID: res.Header.Get("X-Request-ID"), Err: err, transient: true}
	}
	return 0, nil
}

// decode reads JSON, or any text into a *[]byte.
func decode(r io.Reader, out any) (err error) {
	if out == nil {
		return nil
	}
	if text, ok := out.(*[]byte); ok {
		*text, err = io.ReadAll(r)
		return err
	}
	return json.NewDecoder(r).Decode(out)
}

// send makes the request; the caller closes the body.
func (c *Client) send(ctx context.Context, q call) (*http.Response, error) {
	u := c.base.JoinPath(q.path)
	u.RawQuery = q.query.Encode()
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if q.header != nil {
		req.Header = q.header.Clone()
	}
	if err := c.sign(ctx, req.Header); err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // an alert of TLS
		return nil, &Error{Code: "HX-CLIENT-009", Detail: fmt.Sprintf("the daemon at %s refuses the connection: %s", c.base, reason(err)),
			Fix: "show a client certificate that it trusts, or a newer one", Err: err}
	}
	if err != nil {
		return nil, &Error{Code: "HX-CLIENT-004", Detail: fmt.Sprintf("the daemon at %s does not answer: %s", c.base, reason(err)),
			Fix: "start hypervisord, or check the address", Err: err, transient: true}
	}
	return res, nil
}

// reason leaves out what the message says already.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// backoff is the pause after an attempt (from 1), with half of it by chance.
func backoff(attempt int) time.Duration {
	d := min(longPause, firstPause<<min(attempt-1, 10))
	return d/2 + rand.N(d/2) //nolint:gosec // jitter is no secret
}

func retryAfter(res *http.Response) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(res.Header.Get("Retry-After")))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(longPause, time.Duration(seconds)*time.Second)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
