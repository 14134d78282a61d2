package tenant

import "sync/atomic"

// Once is a call that takes effect once, however often it is repeated. It goes with
// a Scope into the store, which keeps a row of it in the transaction that the call
// makes: the change and what is remembered of it are both there, or neither is. It
// belongs to one call.
type Once struct {
	Tenant    ID     // of the caller, whomever the change is about
	Principal string // the caller
	Key       string // what the caller calls it
	Digest    []byte // of what is asked for: the key stands for nothing else

	Steps  int                    // transactions of the call that are stored; the caller counts
	More   bool                   // the next one is not the last
	Answer func() ([]byte, error) // what is to be remembered, asked at the end of each

	// Found is set by the store, if the call has been carried through before: then
	// the transaction did nothing.
	Found *Remembered
}

// Remembered is what the store knows of a call.
type Remembered struct {
	Digest []byte
	Answer []byte
	Steps  int
	Done   bool // else it broke off after so many steps
}

// Under returns the scope as a call has it that takes effect once. nil: any call.
func (s Scope) Under(o *Once) Scope {
	s.once = o
	return s
}

// Once returns the call that takes effect once, or nil.
func (s Scope) Once() *Once { return s.once }

// Under is Scope.Under.
func (s PlatformScope) Under(o *Once) PlatformScope {
	s.once = o
	return s
}

// Once is Scope.Once.
func (s PlatformScope) Once() *Once { return s.once }

// keyed is a call under an idempotency key.
type keyed struct {
	key      string
	replayed atomic.Bool
}

// Keyed returns the principal as it makes one call under an idempotency key; empty:
// under none.
func (p Principal) Keyed(key string) Principal {
	if p.call = nil; key != "" {
		p.call = &keyed{key: key}
	}
	return p
}

// IdempotencyKey returns the key of the call, or "".
func (p Principal) IdempotencyKey() string {
	if p.call == nil {
		return ""
	}
	return p.call.key
}

// Replay notes that the call is answered by what an earlier one did.
func (p Principal) Replay() {
	if p.call != nil {
		p.call.replayed.Store(true)
	}
}

// Replayed tells whether the call was answered by what an earlier one did.
func (p Principal) Replayed() bool { return p.call != nil && p.call.replayed.Load() }
