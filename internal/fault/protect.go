package fault

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// CodePanic is the code of the errors that Protect makes.
const CodePanic = "HX-INT-005"

// Protect calls fn and turns a panic into an error of kind Internal, whose cause is
// for the log: what the runtime says, of any other value the type, because it may hold
// a secret, and the stack. Whoever starts a goroutine for a request or a job puts it
// around what that does: nobody else's recover reaches it, and the process would end.
func Protect(fn func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		what := fmt.Sprintf("%T", v)
		if oops, ok := v.(runtime.Error); ok {
			what = oops.Error()
		}
		err = &Error{Kind: Internal, Code: CodePanic, Msg: "the daemon stumbled over this", Fix: "report it; the daemon's log has the rest",
			Err: fmt.Errorf("panic: %s\n%s", what, debug.Stack())}
	}()
	return fn()
}
