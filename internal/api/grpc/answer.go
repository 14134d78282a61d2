package grpc

import (
	"net/http"
	"time"
)

// flow is how an answer goes to the client.
type flow int

const (
	whole flow = iota // in one piece, at the end
	eager             // each message at once, within the server's time for a call
	live              // the same, for as long as the stream lasts
)

// answer is the way to the client. Connect flushes after each message: a page of
// jobs would be as many packets.
type answer struct {
	http.ResponseWriter
	flow  flow
	limit time.Duration // for one write of a stream
}

func newAnswer(w http.ResponseWriter, f flow, limit time.Duration) *answer {
	return &answer{ResponseWriter: w, flow: f, limit: limit}
}

// Write gives each write of a stream a deadline of its own in place of the
// server's for the whole call.
func (a *answer) Write(p []byte) (int, error) {
	if a.flow == live {
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.limit)) // HTTP/1 and 2 have it; a writer without it has no deadline to lift
	}
	return a.ResponseWriter.Write(p)
}

// Flush sends what was written of a stream. HTTP/2 ends a stream at its deadline
// even if nothing is written: it is lifted until the next write.
func (a *answer) Flush() {
	if a.flow == whole {
		return
	}
	control := http.NewResponseController(a.ResponseWriter)
	if err := control.Flush(); err == nil && a.flow == live {
		_ = control.SetWriteDeadline(time.Time{})
	}
}

// Unwrap leads http.ResponseController to the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
