// Package fault holds the one vocabulary of errors that every layer and every
// door shares: a Kind decides what happens (HTTP status, exit code, retry), a
// Code names the case for a search engine, and Msg and Fix are for the reader.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind classifies an error by what the caller can do about it. Decide by Kind,
// never by text.
type Kind uint8

// The kinds. Internal is the zero value: an error that nobody classified.
const (
	Internal        Kind = iota // a defect of ours
	Invalid                     // the request cannot be understood
	Unauthenticated             // who are you
	Denied                      // you may not
	NotFound                    // no such thing (for you)
	Conflict                    // the state does not allow it, or a stale epoch
	Unprocessable               // understood, but cannot be done as asked
	Exhausted                   // a limit is reached; later it may work
	Cancelled                   // somebody asked to stop
	Unavailable                 // a part that we need does not answer; retry
	Timeout                     // it took too long; retry
	Corrupt                     // content is not what it must be
)

var kindNames = [...]string{
	"internal", "invalid", "unauthenticated", "denied", "not_found", "conflict",
	"unprocessable", "exhausted", "cancelled", "unavailable", "timeout", "corrupt",
}

// String returns the lower-case name, as the API shows it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// KindNamed returns the kind of a name, Internal for one that is none.
func KindNamed(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return Internal
}

// Retryable tells whether the same call may succeed later without a change.
func (k Kind) Retryable() bool {
	return k == Unavailable || k == Timeout || k == Exhausted
}

// Error is an error with a kind. Msg says what and why, Fix what to do; both
// may be shown to a stranger. Err is the cause: it is logged, never answered.
type Error struct {
	Kind Kind
	Code string // HX-AREA-NNN, stable
	Op   string // the operation, added once per package border
	Msg  string
	Fix  string
	Err  error
}

// Error formats as `HX-AREA-NNN what — why → fix`; the cause is left out.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != "" {
		b.WriteString(e.Code)
		b.WriteByte(' ')
	}
	b.WriteString(e.Msg)
	if e.Fix != "" {
		b.WriteString(" → ")
		b.WriteString(e.Fix)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind. fix may be empty.
func New(kind Kind, code, msg, fix string) *Error {
	return &Error{Kind: kind, Code: code, Msg: msg, Fix: fix}
}

// Newf is New with a formatted message.
func Newf(kind Kind, code, fix, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Msg: fmt.Sprintf(format, args...), Fix: fix}
}

// Wrap classifies a cause. It returns nil for a nil cause.
func Wrap(err error, kind Kind, code, msg, fix string) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Code: code, Msg: msg, Fix: fix, Err: err}
}

// KindOf returns the kind of the outermost Error in the chain. A bare context
// error counts as Cancelled or Timeout; anything else is Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return Internal
}

// Is tells whether err is of the kind. A nil error is of no kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// As returns the outermost Error in the chain, or one of kind Internal (code
// HX-INT-001) around err. It returns nil for nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch k := KindOf(err); k {
	case Cancelled:
		return &Error{Kind: k, Code: "HX-INT-002", Msg: "the operation was cancelled", Err: err}
	case Timeout:
		return &Error{Kind: k, Code: "HX-INT-003", Msg: "the operation ran out of time", Err: err}
	default:
		return &Error{Kind: Internal, Code: "HX-INT-001", Msg: "internal error", Fix: "see the daemon's log", Err: err}
	}
}

// Detail returns the message with the whole chain of causes, for logs only.
func Detail(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil {
		return e.Error() + " (cause: " + Detail(e.Err) + ")"
	}
	return err.Error()
}
