package vcsim

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// admit applies the faults that strike before a request is looked at. It
// returns false if it answered the request.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, at site) bool {
	if _, hit := s.faults.take(ExpireSession, at); hit {
		s.ExpireSessions()
	}
	if f, hit := s.faults.take(Delay, at); hit {
		if !pause(r.Context(), s.done, f.Delay) {
			panic(http.ErrAbortHandler)
		}
	}
	if _, hit := s.faults.take(Unavailable, at); hit {
		http.Error(w, "503 Service Unavailable (the service is restarting)", http.StatusServiceUnavailable)
		return false
	}
	return true
}

// pause waits for d; false means that one of the contexts ended first.
func pause(a, b context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.Done():
	case <-b.Done():
	}
	return false
}

// body sends the content of a response and applies the faults that strike in
// the middle. cut and stall are positions in the body, negative for none.
type body struct {
	w          io.Writer
	client     context.Context //nolint:containedctx // of one request
	server     context.Context //nolint:containedctx // of the server
	cut, stall int64
	rate       int64 // bytes per second, 0: as fast as it goes
	sent       int64
	note       func(pos, n int64) // is told what was sent
	watch      func(pos int64) error
}

// newBody takes the faults for one response.
func (s *Server) newBody(w io.Writer, r *http.Request, at site) *body {
	b := &body{w: w, client: r.Context(), server: s.done, cut: -1, stall: -1}
	if f, hit := s.faults.take(Cut, at); hit {
		b.cut = f.After
	}
	if f, hit := s.faults.take(Stall, at); hit {
		b.stall = f.After
	}
	if f, hit := s.faults.take(Slow, at); hit {
		b.rate = f.Rate
	}
	return b
}

// errCut tells that the connection has to be cut.
var errCut = fmt.Errorf("connection cut: %w", http.ErrAbortHandler)

// Write sends p, or what of it the faults let through.
func (b *body) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n, err := b.step(int64(len(p)))
		if err != nil {
			return total, err
		}
		k, err := b.w.Write(p[:n])
		if b.note != nil {
			b.note(b.sent, int64(k))
		}
		b.sent += int64(k)
		total += k
		if err != nil {
			return total, err //nolint:wrapcheck // the client went away
		}
		p = p[n:]
	}
	return total, nil
}

// step returns how many of the next n bytes may be sent at once.
func (b *body) step(n int64) (int64, error) {
	if b.sent == b.stall {
		select {
		case <-b.client.Done():
		case <-b.server.Done():
		}
		return 0, errCut
	}
	if b.sent == b.cut {
		return 0, errCut
	}
	if b.stall > b.sent {
		n = min(n, b.stall-b.sent)
	}
	if b.cut > b.sent {
		n = min(n, b.cut-b.sent)
	}
	if b.watch != nil {
		if err := b.watch(b.sent); err != nil {
			return 0, err
		}
	}
	if b.rate > 0 {
		n = min(n, max(1, b.rate/20))
		if !pause(b.client, b.server, time.Duration(n)*time.Second/time.Duration(b.rate)) {
			return 0, errCut
		}
	}
	return n, nil
}
