package client

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// Error is why a request was not done. Status is 0 if the daemon gave no answer.
type Error struct {
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`        // what happened, and why
	Code      string  `json:"code"`          // HX-AREA-NNN, stable
	Fix       string  `json:"fix,omitempty"` // what to do about it
	RequestID string  `json:"request_id,omitempty"`
	Errors    []Issue `json:"errors,omitempty"`
	Err       error   `json:"-"` // the cause on our side, if any

	transient bool
}

// Issue is one of several errors in one answer.
type Issue struct {
	Index    *int   `json:"index,omitempty"`    // position of the job in the request, from 0
	Location string `json:"location,omitempty"` // where in the request
	Code     string `json:"code,omitempty"`
	Message  string `json:"message"`
	Fix      string `json:"fix,omitempty"`
}

// Error formats as `HX-AREA-NNN what → fix`.
func (e *Error) Error() string {
	s := e.Detail
	if e.Code != "" {
		s = e.Code + " " + s
	}
	if e.Fix != "" {
		s += " → " + e.Fix
	}
	return s
}

// Unwrap returns the cause on our side.
func (e *Error) Unwrap() error { return e.Err }

// isTransient tells whether the same request may succeed a little later.
func isTransient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.transient
}

// maxProblem bounds what is read of an error's body.
const maxProblem = 1 << 20

// errorOf reads the error that a response holds.
func errorOf(res *http.Response) *Error {
	e := &Error{}
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/problem+json" || json.NewDecoder(io.LimitReader(res.Body, maxProblem)).Decode(e) != nil {
		*e = Error{Code: "HX-CLIENT-006", Detail: "the answer is " + res.Status, Fix: "is it hypervisord that listens there?"}
	}
	e.Status = res.StatusCode
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.transient = true
	case http.StatusConflict:
		e.transient = e.Code == codeInFlight
	}
	return e
}
