package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Update is one element of a job's stream: an event or a new progress.
type Update struct {
	Event    *Event
	Progress *Progress
}

const (
	// silence is how long a stream may say nothing, not even a keep-alive, before
	// the connection counts as dead.
	silence = 45 * time.Second
	// patience is how many connections in a row may bring nothing before the
	// stream gives up.
	patience   = 12
	maxMessage = 1 << 20 // bytes of a line
)

// Events follows a job: its events with Seq > after in order, none left out or
// repeated, and its progress in between. A broken connection is taken up again
// where it broke. The stream ends after the event of a final state, or with an
// error.
func (c *Client) Events(ctx context.Context, id string, after int64) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		s := subscription{c: c, path: jobPath(id, "events"), wait: firstPause}
		if after > 0 {
			s.last = strconv.FormatInt(after, 10)
		}
		s.take = func(m *message) (bool, error) {
			u, done, err := updateOf(m)
			if done || err != nil || u == (Update{}) {
				return done, err
			}
			if u.Event != nil {
				s.last = strconv.FormatInt(u.Event.Seq, 10)
			}
			return stopIf(!yield(u, nil))
		}
		if err := s.run(ctx); err != nil {
			yield(Update{}, err)
		}
	}
}

// run reads connections until the stream is at its end or the caller wants no
// more, and takes up again what broke.
func (s *subscription) run(ctx context.Context) error {
	for failures := 0; ; {
		err := s.connect(ctx)
		switch {
		case err == nil || errors.Is(err, errStopped):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.heard:
			failures = 0
		default:
			failures++
		}
		if !isTransient(err) || failures == patience {
			return err
		}
		if err := pause(ctx, max(s.wait, backoff(failures+1))); err != nil {
			return err
		}
	}
}

func stopIf(stop bool) (done bool, err error) {
	if stop {
		return false, errStopped
	}
	return false, nil
}

// errStopped: the caller wants no more.
var errStopped = errors.New("stopped")

// subscription is a stream over its connections.
type subscription struct {
	c     *Client
	path  string
	query url.Values
	last  string        // the id to come back with
	wait  time.Duration // what the daemon wants between connections
	heard bool          // the connection brought something
	// take yields a whole message, and tells whether the stream is at its end. A
	// message that broke off never gets there, so that it comes again.
	take func(m *message) (done bool, err error)
}

// connect reads one connection. It returns nil after the stream's last event.
func (s *subscription) connect(ctx context.Context) error {
	s.heard = false
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	q := get(s.path, s.query, nil)
	q.header = http.Header{"Accept": {"text/event-stream"}}
	if s.last != "" {
		q.header.Set("Last-Event-ID", s.last)
	}
	res, err := s.c.send(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	switch res.StatusCode {
	case http.StatusOK:
		return s.read(res.Body, func() { alive.Reset(silence) })
	case http.StatusNoContent:
		return nil
	}
	return errorOf(res)
}

// message is one server-sent event as it comes together line by line.
type message struct {
	id, name string
	data     strings.Builder
}

func (s *subscription) read(body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxMessage)
	var m message
	for lines.Scan() {
		alive()
		line := lines.Text()
		if line != "" {
			s.field(&m, line)
			continue
		}
		s.heard = true
		done, err := s.take(&m)
		if done || err != nil {
			return err
		}
		m = message{}
	}
	err := lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return &Error{Code: "HX-CLIENT-007", Detail: "the event stream broke off", Fix: "follow the job again", Err: err,
		transient: !errors.Is(err, bufio.ErrTooLong)}
}

func (s *subscription) field(m *message, line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		m.id = value
	case "event":
		m.name = value
	case "data":
		if m.data.Len() > 0 {
			m.data.WriteByte('\n')
		}
		m.data.WriteString(value)
	case "retry":
		if ms, err := strconv.Atoi(value); err == nil && ms >= 0 {
			s.wait = min(longPause, time.Duration(ms)*time.Millisecond)
		}
	}
}

// updateOf decodes a message of a job's stream; a zero Update is nothing to yield.
func updateOf(m *message) (u Update, done bool, err error) {
	switch {
	case m.data.Len() == 0:
		return u, false, nil
	case m.name == "end":
		return u, true, nil
	case m.name == "progress":
		u.Progress = new(Progress)
		err = m.decode(u.Progress)
	case m.id != "":
		u.Event = new(Event)
		err = m.decode(u.Event)
	}
	return u, false, err // nothing: of a newer daemon
}

func (m *message) decode(to any) error {
	if err := json.Unmarshal([]byte(m.data.String()), to); err != nil {
		return &Error{Code: "HX-CLIENT-008", Detail: "the event stream holds what is no event", Fix: "use the client of the daemon's version", Err: err}
	}
	return nil
}
