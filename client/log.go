package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"strings"
)

// LogQuery selects events of the tenant's log; empty fields select all.
type LogQuery struct {
	After    *int64            // begin behind this Pos; nil: at the end of the log
	Kinds    []string          // job.completed, or job.* for all that begin so
	Jobs     []string          // ids
	Labels   map[string]string // of the job; it must have them all
	Progress bool              // the progress of running jobs, too
	Once     bool              // end where the log ends now
}

func (q *LogQuery) values() url.Values {
	v := url.Values{}
	for name, list := range map[string][]string{"kind": q.Kinds, "job": q.Jobs} {
		if len(list) > 0 {
			v.Set(name, strings.Join(list, ","))
		}
	}
	for name, text := range q.Labels {
		v.Add("label", name+"="+text)
	}
	if q.Progress {
		v.Set("progress", "true")
	}
	if q.Once {
		v.Set("once", "true")
	}
	return v
}

// LogUpdate is one element of the log's stream: an event, or the progress of a job.
type LogUpdate struct {
	Event    *Event
	JobID    string
	Progress *Progress
}

// Log follows the events of all jobs in the order of the log, none left out or
// repeated. A broken connection is taken up again where it broke. The stream ends
// with an error, or where the log ended with q.Once.
func (c *Client) Log(ctx context.Context, q LogQuery) iter.Seq2[LogUpdate, error] {
	return func(yield func(LogUpdate, error) bool) {
		s := subscription{c: c, path: "/events", query: q.values(), wait: firstPause}
		if q.After != nil {
			s.last = strconv.FormatInt(*q.After, 10)
		}
		s.take = func(m *message) (bool, error) {
			u, done, err := logUpdateOf(m)
			if done || err != nil {
				return done, err
			}
			if m.id != "" { // before it is yielded: the caller may stop there
				s.last = m.id
			}
			if u == (LogUpdate{}) {
				return false, nil
			}
			return stopIf(!yield(u, nil))
		}
		if err := s.run(ctx); err != nil {
			yield(LogUpdate{}, err)
		}
	}
}

// logUpdateOf decodes a message; a zero LogUpdate is nothing to yield.
func logUpdateOf(m *message) (u LogUpdate, done bool, err error) {
	switch m.name {
	case "", "ready": // how far the log was read
	case "end":
		done = true
	case "progress":
		var p struct {
			JobID    string    `json:"job_id"`
			Progress *Progress `json:"progress"`
		}
		err = m.decode(&p)
		u = LogUpdate{JobID: p.JobID, Progress: p.Progress}
	default:
		u.Event = new(Event)
		err = m.decode(u.Event)
	}
	return u, done, err
}
