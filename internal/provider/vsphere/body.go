package vsphere

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// errIdle is the cause when a transfer delivered nothing for too long.
var errIdle = errors.New("no byte arrived for too long")

// body is an HTTP answer whose Read fails when no byte arrives for some time.
// The time between reads does not count: a slow consumer is not a dead server.
// Close ends the request.
type body struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // the request's, to tell why a read failed
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

// send makes a request and returns the answer with its body guarded: neither
// the header nor any part of the body may keep us waiting longer than idle.
func send(ctx context.Context, client *http.Client, req *http.Request, idle time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(idle, func() { cancel(errIdle) })
	req.Header.Set("User-Agent", userAgent)
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = because(ctx, err)
		cancel(nil)
		return nil, err
	}
	timer.Stop()
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, timer: timer, idle: idle}
	return resp, nil
}

// Read passes on; an error says why the request ended.
func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(b.ctx, err)
	}
	return n, err
}

// Close ends the request. Idempotent.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// because prefers the reason why ctx ended over the error that follows from it.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil && errors.Is(err, io.ErrUnexpectedEOF):
		return cut(err)
	case cause == nil:
		return err
	case errors.Is(cause, errIdle):
		return fault.Wrap(err, fault.Unavailable, "HX-VSPHERE-035",
			"the transfer stands still: no byte arrived for too long",
			"look at the load of the ESXi host and at the network in between; the job is retried")
	}
	return cause
}

// cut is the error for a transfer that ended too early. It is none of the
// content: the same bytes may come the next time.
func cut(err error) error {
	return fault.Wrap(err, fault.Unavailable, "HX-VSPHERE-033", "the transfer was cut",
		"it is retried; if it stays, look at the network and at the host's hostd log")
}

// status is the error for an HTTP answer that was not asked for. what names the
// file or the stream.
func status(resp *http.Response, what string) error {
	where := what + " on " + resp.Request.URL.Host
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return fault.New(fault.Unavailable, "HX-VSPHERE-050", "the session is not accepted for "+where, "the session is renewed and the request retried")
	case http.StatusForbidden:
		return fault.New(fault.Denied, "HX-VSPHERE-051", "the account may not read "+where,
			"grant Datastore.Browse and Datastore.FileManagement on the datastore")
	case http.StatusNotFound:
		return fault.New(fault.Conflict, "HX-VSPHERE-052", "there is no "+where,
			"the VM was moved or deleted, or its snapshot removed: the export has to start over")
	case http.StatusRequestedRangeNotSatisfiable:
		return fault.New(fault.Conflict, "HX-VSPHERE-053", where+" has become shorter",
			"the VM's files were changed: the export has to start over")
	}
	return fault.Newf(fault.Unavailable, "HX-VSPHERE-054", "retry; see the host's hostd log if it stays",
		"reading %s failed with HTTP status %s", where, resp.Status)
}
