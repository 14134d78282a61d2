package vsphere

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/object"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// tries is how often a request for the same bytes is made.
const tries = 6

// file is a file on a datastore, read through vCenter's /folder with the
// session's cookie. What identifies its content is pinned by open: every later
// answer must state the same.
type file struct {
	login    *login
	url      string
	name     string // for people: "[ds] vm/vm-flat.vmdk"
	tries    int
	limit    func(ctx context.Context, n int) error // nil: none
	size     int64
	etag     string
	modified string
}

// open asks for the file's first bytes. An error of kind Unprocessable means
// that Range requests do not work here.
func (l *login) open(ctx context.Context, store datastore, name string, limit func(context.Context, int) error) (*file, error) {
	var at object.DatastorePath
	if !at.FromString(name) {
		return nil, fault.Newf(fault.Unprocessable, "HX-VSPHERE-055", "", "%q is no path on a datastore", name)
	}
	u := *l.endpoint
	u.Path = "/folder/" + at.Path
	u.RawQuery = url.Values{"dcPath": {store.datacenter}, "dsName": {store.name}}.Encode()
	f := &file{login: l, url: u.String(), name: name, tries: tries, limit: limit}
	if err := f.readAt(ctx, 0, [][]byte{make([]byte, 1)}); err != nil {
		return nil, err
	}
	return f, nil
}

// readAt fills the pieces with consecutive bytes from off on. It repeats what
// failed for a passing reason, and goes on behind what it has already got.
func (f *file) readAt(ctx context.Context, off int64, pieces [][]byte) error {
	wait := backoff{first: 200 * time.Millisecond, most: 5 * time.Second}
	left := &scatter{pieces: pieces}
	for n := 1; ; n++ {
		before := left.filled
		err := f.request(ctx, off, left)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if left.filled > before {
			n = 0
			wait.reset()
		}
		if !fault.KindOf(err).Retryable() || n >= f.tries {
			return err
		}
		f.login.log.DebugContext(ctx, "a range request is repeated", "file", f.name, "offset", off+left.filled, "error", err)
		f.login.observer.retry("range")
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// request makes one Range request for what is left, and renews the session if
// it is refused.
func (f *file) request(ctx context.Context, off int64, left *scatter) error {
	c, err := f.login.connect(ctx)
	if err != nil {
		return err
	}
	generation := f.login.generation.Load()
	first, last := off+left.filled, off+left.total()-1
	req, err := http.NewRequest(http.MethodGet, f.url, http.NoBody) //nolint:noctx // send sets it
	if err != nil {
		return fmt.Errorf("make a range request: %w", err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last))
	if pin := f.pin(); pin != "" {
		req.Header.Set("If-Range", pin)
	}
	client := &http.Client{Transport: f.login.transport, Jar: c.Jar, CheckRedirect: stay}
	resp, err := send(ctx, client, req, f.login.cfg.IdleTimeout)
	if err != nil {
		return classify(ctx, err, "read "+f.name)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	if resp.StatusCode == http.StatusUnauthorized {
		return cmp.Or(f.login.renew(ctx, generation), status(resp, f.name))
	}
	if err := f.check(resp, first, last); err != nil {
		return err
	}
	if err := left.readFrom(paced(ctx, resp.Body, f.limit)); err != nil {
		return classify(ctx, err, "read "+f.name)
	}
	return nil
}

// check compares an answer with the question and with what is pinned; the first
// answer pins.
func (f *file) check(resp *http.Response, first, last int64) error {
	switch {
	case resp.StatusCode == http.StatusOK && f.size != 0:
		return f.changed() // If-Range did not hold
	case resp.StatusCode == http.StatusOK:
		return fault.New(fault.Unprocessable, "HX-VSPHERE-056", "the server ignores Range requests for "+f.name, "")
	case resp.StatusCode != http.StatusPartialContent:
		return status(resp, f.name)
	}
	size, err := contentRange(resp.Header.Get("Content-Range"), first, last)
	if err != nil {
		return err
	}
	etag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if f.size == 0 {
		f.size, f.etag, f.modified = size, etag, modified
		return nil
	}
	if size != f.size || etag != f.etag || modified != f.modified {
		return f.changed()
	}
	return nil
}

func (f *file) changed() error {
	return fault.New(fault.Conflict, "HX-VSPHERE-057", f.name+" was changed while it was read",
		"somebody removed the snapshot or consolidated the disks: the export has to start over")
}

// pin is the validator for If-Range; a weak ETag must not be used for it.
func (f *file) pin() string {
	if f.etag != "" && !strings.HasPrefix(f.etag, "W/") {
		return f.etag
	}
	return f.modified
}

// contentRange checks "bytes first-last/size" and returns size.
func contentRange(header string, first, last int64) (int64, error) {
	head, tail, found := strings.Cut(header, "/")
	size, err := strconv.ParseInt(tail, 10, 64)
	if !found || err != nil || size <= last || head != fmt.Sprintf("bytes %d-%d", first, last) {
		return 0, fault.Newf(fault.Unavailable, "HX-VSPHERE-058", "a proxy in between may be broken: try transport nfc",
			"the server answered the question for bytes %d to %d with %q", first, last, header)
	}
	return size, nil
}

// stay refuses redirects: they would carry the session's cookie elsewhere.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// scatter is memory in pieces that is filled from the front.
type scatter struct {
	pieces [][]byte
	filled int64
}

func (s *scatter) total() int64 {
	var n int64
	for _, p := range s.pieces {
		n += int64(len(p))
	}
	return n
}

// readFrom fills what is left. An end that comes too early is ErrUnexpectedEOF.
func (s *scatter) readFrom(r io.Reader) error {
	var at int64
	for _, p := range s.pieces {
		end := at + int64(len(p))
		if end > s.filled {
			n, err := io.ReadFull(r, p[s.filled-at:])
			s.filled += int64(n)
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
		}
		at = end
	}
	return nil
}
