package vcsim

import (
	"context"
	"fmt"
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

// errCut tells that the connection has to be cut.
var errCut = fmt.Errorf("connection cut: %w", http.ErrAbortHandler)

// body sends the content of a response and applies the faults that strike in
// the middle.
type body struct {
	w     http.ResponseWriter
	ctx   context.Context //nolint:containedctx // of one request
	rate  int64           // bytes per second, 0: as fast as it goes
	stops []stop
	sent  int64
	note  func(pos, n int64) // is told what was sent
	check func() error       // is asked before each piece
}

// stop is a position in a body where a fault strikes.
type stop struct {
	at     int64
	strike func() error
}

// newBody takes the faults for one response. The body also ends with the
// server.
func (s *Server) newBody(w http.ResponseWriter, r *http.Request, at site) *body {
	b := &body{w: w, ctx: r.Context(), note: func(int64, int64) {}, check: func() error { return nil }}
	if f, hit := s.faults.take(Cut, at); hit {
		b.stops = append(b.stops, stop{f.After, func() error { return errCut }})
	}
	if f, hit := s.faults.take(Stall, at); hit {
		b.stops = append(b.stops, stop{f.After, func() error {
			select {
			case <-b.ctx.Done():
			case <-s.done.Done():
			}
			return errCut
		}})
	}
	if f, hit := s.faults.take(Slow, at); hit {
		b.rate = f.Rate
	}
	return b
}

// Write sends p, or what of it the faults let through.
func (b *body) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n, err := b.step(int64(len(p)))
		if err != nil {
			return total, err
		}
		k, err := b.w.Write(p[:n])
		b.note(b.sent, int64(k))
		b.sent += int64(k)
		total += k
		if err != nil {
			return total, err
		}
		p = p[n:]
	}
	return total, nil
}

// step returns how many of the next n bytes may be sent at once.
func (b *body) step(n int64) (int64, error) {
	if err := b.check(); err != nil {
		return 0, err
	}
	for _, at := range b.stops {
		if at.at == b.sent {
			_ = http.NewResponseController(b.w).Flush() // what comes before must arrive
			return 0, at.strike()
		}
		if at.at > b.sent {
			n = min(n, at.at-b.sent)
		}
	}
	if b.rate > 0 {
		n = min(n, max(1, b.rate/20))
		_ = http.NewResponseController(b.w).Flush()
		if !pause(b.ctx, b.ctx, time.Duration(n)*time.Second/time.Duration(b.rate)) {
			return 0, errCut
		}
	}
	return n, nil
}
