package console

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// DefaultServer is where a daemon listens unless it is told otherwise.
const DefaultServer = "http://127.0.0.1:8080"

// Connect makes a client of a daemon. The key comes from a file, or from
// HYPERVISORD_API_KEY; never from the command line, which others can read. caFile
// may be empty: then the system's CAs are trusted.
func Connect(url, keyFile, caFile string) (*client.Client, error) {
	return Access{Server: url, KeyFile: keyFile, CAFile: caFile}.Connect()
}

// trusted adds the CAs of a file to the system's.
func trusted(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil //nolint:nilnil // nil is the default of net/http
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-CLI-009", "the CA file "+caFile+" cannot be read", "check its path and permissions")
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fault.New(fault.Invalid, "HX-CLI-010", "the CA file "+caFile+" holds no certificate", "give certificates as PEM")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// statusKinds turn an answer back into the kind of error that it was made of.
var statusKinds = map[int]fault.Kind{
	0: fault.Unavailable, 400: fault.Invalid, 401: fault.Unauthenticated, 403: fault.Denied, 404: fault.NotFound,
	409: fault.Conflict, 413: fault.Invalid, 415: fault.Invalid, 422: fault.Unprocessable, 429: fault.Exhausted,
	499: fault.Cancelled, 503: fault.Unavailable, 504: fault.Timeout,
}

// ServerError gives an error of the client its kind, for exit codes.
func ServerError(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	kind, ok := statusKinds[e.Status]
	if !ok {
		kind = fault.Internal
	}
	parts := []string{e.Detail}
	for _, issue := range e.Errors {
		if len(e.Errors) == 1 && issue.Code == e.Code && issue.Message == e.Detail {
			continue // one job, one reason: it is said already
		}
		parts = append(parts, IssueText(issue))
	}
	return &fault.Error{Kind: kind, Code: e.Code, Msg: strings.Join(parts, "; "), Fix: e.Fix, Err: e.Err}
}

// RemoteJob reads a job of a daemon.
func RemoteJob(ctx context.Context, c *client.Client, id string) (job.Job, error) {
	var j job.Job
	remote, err := c.Get(ctx, id)
	if err != nil {
		return j, ServerError(err)
	}
	return j, convert(remote, &j)
}

// convert moves a value between the client's types and ours, which have the
// same JSON.
func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return nil
}

// Convert is convert for a list of values.
func Convert[T, F any](from []F) ([]T, error) {
	to := make([]T, len(from))
	for i := range from {
		if err := convert(from[i], &to[i]); err != nil {
			return nil, err
		}
	}
	return to, nil
}

// IssueText shows one of several errors of an answer.
func IssueText(i client.Issue) string {
	text := i.Message
	if i.Index != nil {
		text = fmt.Sprintf("job %d: %s", *i.Index+1, text)
	}
	if i.Code != "" {
		text = i.Code + " " + text
	}
	if i.Fix != "" {
		text += " → " + i.Fix
	}
	return text
}
