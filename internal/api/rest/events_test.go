package rest_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/client"
)

// sse opens a stream and returns its messages.
func (w *world) sse(ctx context.Context, id, last string) (*http.Response, *bufio.Scanner) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", w.server.URL+"/jobs/"+id+"/events", nil)
	must(w.t, err)
	req.Header.Set("X-Api-Key", key)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := w.http.Do(req)
	must(w.t, err)
	w.t.Cleanup(func() { _ = res.Body.Close() })
	s := bufio.NewScanner(res.Body)
	s.Split(func(data []byte, eof bool) (int, []byte, error) {
		if i := strings.Index(string(data), "\n\n"); i >= 0 {
			return i + 2, data[:i], nil
		}
		if eof && len(data) > 0 {
			return 0, nil, io.ErrUnexpectedEOF
		}
		return 0, nil, nil
	})
	return res, s
}

func field(message, name string) string {
	for line := range strings.Lines(message) {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestStream(t *testing.T) {
	w := newWorld(t)
	d := fetchDocument(t, w.server)
	id := w.submit(1)[0]
	res, stream := w.sse(t.Context(), id, "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(res.Status)
	}
	next := func() string {
		t.Helper()
		for stream.Scan() {
			m := stream.Text()
			schema := "Event"
			switch name := field(m, "event"); name {
			case "":
				continue // retry, keep-alive
			case "end":
				return name
			case "progress":
				schema = "Progress"
			}
			if err := d.validate([]byte(field(m, "data")), "components", "schemas", schema); err != nil {
				t.Errorf("%s: %v", m, err)
			}
			return field(m, "event") + " " + strconv.FormatBool(field(m, "id") != "")
		}
		return fmt.Sprint("over: ", stream.Err())
	}
	var got []string
	got = append(got, next())
	lease := w.claim()
	got = append(got, next())
	w.progress(lease, 50)
	got = append(got, next())
	w.complete(lease)
	got = append(got, next(), next(), next())
	want := "[job.submitted true job.started true progress false job.completed true end over: <nil>]"
	if fmt.Sprint(got) != want {
		t.Fatalf("got  %v\nwant %s", got, want)
	}
}

func TestStreamOfAJobThatEnded(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	w.complete(w.claim())
	_, stream := w.sse(t.Context(), id, "")
	var last string
	events := 0
	for stream.Scan() {
		if seq := field(stream.Text(), "id"); seq != "" {
			last = seq
			events++
		}
	}
	if events != 3 {
		t.Fatalf("%d events", events)
	}
	if res, _ := w.sse(t.Context(), id, last); res.StatusCode != 204 {
		t.Fatalf("after the last event: %s", res.Status)
	}
	for _, bad := range []string{"x", "-1", "99999999999999999999"} {
		if got := w.call("GET", "/jobs/"+id+"/events", "", "Last-Event-ID", bad); got.status != 400 {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	if got := w.call("HEAD", "/jobs/"+id+"/events", ""); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

// However often the connection breaks, and wherever: each event once, in order.
func TestReconnectLosesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	for range 5 { // a life of many events
		_, err := w.store.TakeBack(t.Context(), w.claim().Job.Node)
		must(t, err)
	}
	w.complete(w.claim())
	var want []string
	_, all := w.sse(t.Context(), id, "")
	for all.Scan() {
		if seq := field(all.Text(), "id"); seq != "" {
			want = append(want, seq+field(all.Text(), "event"))
		}
	}
	if len(want) < 13 {
		t.Fatalf("only %v", want)
	}
	for cut := 1; cut < 4; cut++ {
		var got []string
		last := ""
		for {
			ctx, hangUp := context.WithCancel(t.Context())
			res, stream := w.sse(ctx, id, last)
			if res.StatusCode == 204 {
				hangUp()
				break
			}
			for n := 0; n < cut && stream.Scan(); {
				if seq := field(stream.Text(), "id"); seq != "" {
					last = seq
					got = append(got, seq+field(stream.Text(), "event"))
					n++
				}
			}
			hangUp()
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("cut after %d: got %v, want %v", cut, got, want)
		}
	}
}

// The public client over connections that are cut after some bytes, at many
// places.
func TestClientFollowsOverBrokenConnections(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	lease := w.claim()
	w.progress(lease, 1)
	w.complete(lease)
	for _, step := range []int{89, 140, 1000} {
		cut := &cutting{next: w.http.Transport, step: step}
		api, err := client.New(w.server.URL, client.Options{APIKey: key, HTTPClient: &http.Client{Transport: cut}})
		must(t, err)
		var kinds []string
		for u, err := range api.Events(t.Context(), id, 0) {
			must(t, err)
			if u.Event != nil {
				kinds = append(kinds, u.Event.Kind)
			}
		}
		if fmt.Sprint(kinds) != "[job.submitted job.started job.completed]" || cut.cuts < 2 && step < 1000 {
			t.Fatalf("step %d, %d cuts: %v", step, cut.cuts, kinds)
		}
	}
}

// cutting gives each connection some bytes more than the one before, and tells
// the client to come back at once.
type cutting struct {
	next       http.RoundTripper
	step, cuts int
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusOK {
		c.cuts++
		res.Body = &cutBody{ReadCloser: res.Body, left: c.step * c.cuts}
	}
	return res, err
}

type cutBody struct {
	io.ReadCloser
	left int
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	copy(p, bytes.Replace(p[:n], []byte("retry: 2000"), []byte("retry: 0000"), 1))
	return n, err
}

// A daemon that stops ends its streams; the client comes back for the rest.
func TestStreamEndsWithTheDaemon(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	_, stream := w.sse(t.Context(), id, "")
	for stream.Scan() {
		if field(stream.Text(), "event") == "end" {
			t.Fatal("the stream claims to be whole")
		}
		if field(stream.Text(), "event") == "job.submitted" {
			w.stop()
		}
	}
	if strings.Contains(w.log.String(), "broken off") {
		t.Fatal("a stop is logged as a failure")
	}
}
