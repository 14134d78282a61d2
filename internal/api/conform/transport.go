package conform

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Transport compares each exchange that it carries with the document.
type Transport struct {
	Document *Document
	Next     http.RoundTripper
	// Report is told what does not conform.
	Report func(format string, args ...any)
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		if sent, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	res, err := t.Next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := t.check(req, sent, res); err != nil {
		t.Report("%s %s → %d does not conform to the document: %v", req.Method, req.URL.Path, res.StatusCode, err)
	}
	return res, nil
}

// problem is the media type of errors.
const problem = "application/problem+json"

func (t *Transport) check(req *http.Request, sent []byte, res *http.Response) error {
	op := t.Document.operation(strings.Replace(req.Method, "HEAD", "GET", 1), req.URL.EscapedPath())
	if op == nil {
		if res.StatusCode < 300 {
			return errors.New("the operation is not documented")
		}
		return t.body(res, "components", "schemas", "Problem")
	}
	if mediaType(req.Header) == "application/json" && len(sent) > 0 && res.StatusCode < 300 {
		if err := t.Document.Validate(sent, slices.Concat(op, []string{"requestBody", "content", "application/json", "schema"})...); err != nil {
			return fmt.Errorf("the request was accepted: %w", err)
		}
	}
	response := slices.Concat(op, []string{"responses", strconv.Itoa(res.StatusCode)})
	if t.Document.At(response...) == nil {
		if res.StatusCode < 300 {
			return errors.New("the status is not documented")
		}
		response = slices.Concat(op, []string{"responses", "default"})
	}
	return errors.Join(t.headers(res, response), t.content(req, res, response))
}

func (t *Transport) content(req *http.Request, res *http.Response, response []string) error {
	content := t.Document.At(slices.Concat(response, []string{"content"})...)
	mt := mediaType(res.Header)
	switch {
	case content == nil:
		if mt != "" {
			return fmt.Errorf("content %s where none is documented", mt)
		}
		return nil
	case content[mt] == nil && content[mt+"; charset=utf-8"] == nil:
		return fmt.Errorf("content type %q is not documented: %v", mt, content)
	case !strings.HasSuffix(mt, "json"), req.Method == http.MethodHead:
		return nil
	}
	return t.body(res, slices.Concat(response, []string{"content", mt, "schema"})...)
}

// common are the headers that every answer may have, whatever it answers.
var common = []string{
	"Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Ratelimit", "Ratelimit-Policy", "Vary", "X-Accel-Buffering",
	"X-Content-Type-Options", "X-Request-Id", "Allow", "Content-Security-Policy", "Referrer-Policy", "Strict-Transport-Security",
}

// headers judges by what the document says of them. An answer names its request,
// and an error that asks for a credential or for patience says so.
func (t *Transport) headers(res *http.Response, response []string) error {
	documented := map[string]bool{}
	for name := range t.Document.At(slices.Concat(response, []string{"headers"})...) {
		documented[http.CanonicalHeaderKey(name)] = true
	}
	for name := range res.Header {
		if !slices.Contains(common, name) && !documented[name] {
			return fmt.Errorf("the header %s is not documented", name)
		}
	}
	must := []string{"X-Request-Id"}
	if mediaType(res.Header) == problem {
		switch res.StatusCode {
		case http.StatusUnauthorized:
			must = append(must, "Www-Authenticate")
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			must = append(must, "Retry-After")
		}
	}
	for _, name := range must {
		if res.Header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	return nil
}

// body judges the body and leaves it as it was.
func (t *Transport) body(res *http.Response, pointer ...string) error {
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil { // the connection broke: whoever reads the body is told
		res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), broken{err}))
		return nil //nolint:nilerr // the body holds the error
	}
	res.Body = io.NopCloser(bytes.NewReader(text))
	if err := t.Document.Validate(text, pointer...); err != nil {
		return fmt.Errorf("%w\nin %s", err, text)
	}
	return nil
}

func mediaType(h http.Header) string {
	mt, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mt
}

// broken is the rest of a body that broke off.
type broken struct{ error }

// Read returns the error.
func (b broken) Read([]byte) (int, error) { return 0, b.error }
