package stream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// SSE writes server-sent events. A reader that takes longer than Limit for one
// write is dropped.
type SSE struct {
	W     http.ResponseWriter
	Limit time.Duration
}

// Open lifts the server's limits and sends the headers, with the first lines of the
// stream.
func (s *SSE) Open(r *http.Request, first string) error {
	if r.ContentLength == 0 { // a body that nobody reads keeps its deadline
		if err := http.NewResponseController(s.W).SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	h := s.W.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	s.W.WriteHeader(http.StatusOK)
	return s.Write(first)
}

// Message sends one message. id may be empty.
func (s *SSE) Message(id, name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + name + "\ndata: ")
	b.Write(text)
	b.WriteString("\n\n")
	return s.Write(b.String())
}

// Write sends text as it is. HTTP/2 ends a stream at its write deadline even if
// nothing is written then: the deadline holds for this write only.
func (s *SSE) Write(text string) error {
	control := http.NewResponseController(s.W)
	if err := control.SetWriteDeadline(time.Now().Add(s.Limit)); err != nil {
		return err
	}
	if _, err := s.W.Write([]byte(text)); err != nil {
		return err
	}
	if err := control.Flush(); err != nil {
		return err
	}
	return control.SetWriteDeadline(time.Time{})
}
