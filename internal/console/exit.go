// Package console is what the command-line programs share: exit codes, how an
// error looks, sizes and times for people, progress on a terminal and in a pipe.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The exit codes of all programs.
const (
	ExitOK           = 0
	ExitInternal     = 1
	ExitUsage        = 2
	ExitPreflight    = 3 // the request cannot be carried out as it is
	ExitAuth         = 4
	ExitSource       = 5
	ExitDestination  = 6
	ExitVerification = 7
	ExitCancelled    = 8
	ExitPartial      = 9 // some of several jobs failed
)

// ExitHelp documents the codes in a help text.
const ExitHelp = `Exit codes: 0 ok, 1 internal error, 2 usage, 3 refused before it began,
4 authentication, 5 source, 6 destination, 7 verification, 8 cancelled,
9 some of several exports failed.`

// areas are the exit codes of error codes, by prefix, where the kind of the
// error alone does not tell.
var areas = []struct {
	prefix string
	exit   int
}{
	{"HX-VERIFY-", ExitVerification},
	{"HX-PROOF-", ExitVerification},
	{"HX-AUDIT-002", ExitVerification},
	{"HX-AUDIT-003", ExitVerification},
	{"HX-AUDIT-004", ExitVerification},
	{"HX-AUDIT-005", ExitVerification},
	{"HX-DST-", ExitDestination},
	{"HX-VSPHERE-", ExitSource},
	{"HX-VMDK-", ExitSource},
	{"HX-DISK-", ExitSource},
}

// ExitCode maps an error's kind and code to the exit code.
func ExitCode(kind, code string) int {
	switch kind {
	case fault.Cancelled.String():
		return ExitCancelled
	case fault.Unauthenticated.String():
		return ExitAuth
	case fault.Invalid.String():
		return ExitUsage
	}
	for _, a := range areas {
		if strings.HasPrefix(code, a.prefix) {
			if a.exit == ExitSource && (kind == fault.NotFound.String() || kind == fault.Unprocessable.String()) {
				return ExitPreflight
			}
			return a.exit
		}
	}
	switch kind {
	case fault.Denied.String():
		return ExitAuth
	case fault.NotFound.String(), fault.Unprocessable.String(), fault.Conflict.String(), fault.Exhausted.String():
		return ExitPreflight
	case fault.Unavailable.String(), fault.Timeout.String(), fault.Corrupt.String():
		return ExitSource
	default:
		return ExitInternal
	}
}

// ExitOf maps an error to the exit code; nil is ExitOK.
func ExitOf(err error) int {
	if err == nil {
		return ExitOK
	}
	e := fault.As(err)
	return ExitCode(e.Kind.String(), e.Code)
}

// Error writes an error for a person: what, why and what to do. A cause that
// nobody classified is shown too, because here the reader is the operator.
func Error(w io.Writer, err error) {
	e := fault.As(err)
	line := e.Error()
	if e.Kind == fault.Internal {
		line = fault.Detail(err)
	}
	_, _ = fmt.Fprintln(w, "Error: "+line)
}

// Classified tells whether err is of our own making: what cobra says of flags and
// arguments is not.
func Classified(err error) bool {
	var e *fault.Error
	return errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
