package service

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Answers knows the calls that were made under an idempotency key. The store adds
// to it in the transaction of each change whose scope carries a tenant.Once.
type Answers interface {
	// Remembered returns what is known of the call, or nil.
	Remembered(ctx context.Context, o *tenant.Once) (*tenant.Remembered, error)
	// Remember stores an answer by itself. Kinds as those of an update.
	Remember(ctx context.Context, o *tenant.Once) error
}

// maxAnswer is the largest answer that is remembered, in bytes.
const maxAnswer = 2 << 20

// InFlight is the code of the refusal while an earlier call with the same key is at
// work: the same call may be made again in a second.
const InFlight = "HX-IDEM-001"

// ErrInFlight is that refusal. Kind Conflict.
func ErrInFlight() error {
	return fault.New(fault.Conflict, InFlight, "an earlier request with this idempotency key is at work", "ask again in a second, with the same key")
}

// ErrKeyTaken refuses a key that stands for another request. Kind Unprocessable.
func ErrKeyTaken() error {
	return fault.New(fault.Unprocessable, "HX-JOB-012", "this idempotency key was used for another request", "use a new key for a new request")
}

// checkKey tells whether a key can be one. Kind Invalid.
func checkKey(key string) error {
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }) {
		return fault.New(fault.Invalid, "HX-JOB-015", "the idempotency key is not 1 to 255 visible ASCII characters", "use a UUID")
	}
	return nil
}

// repeats makes calls safe to repeat.
type repeats struct {
	answers Answers
	seal    *seal.Key // of answers that show a secret; nil: such a call takes no key

	mu     sync.Mutex
	flying map[flight]bool
}

// flight is a call that is at work in this process.
type flight struct {
	tenant         tenant.ID
	principal, key string
}

func newRepeats(answers Answers, key *seal.Key) *repeats {
	return &repeats{answers: answers, seal: key, flying: make(map[flight]bool)}
}

// request is what a call asks for.
type request struct {
	operation string // as the OpenAPI document names it
	of        any    // all that the outcome depends on, as JSON
	secret    bool   // the answer shows a secret: it is kept sealed
	steps     bool   // it takes several transactions: one that broke off is gone on with
}

// once carries a call out under the idempotency key of its principal, if it has one.
// do makes the change: its scope carries o, and at the end of the transaction v is
// what is remembered. If the call was carried out before, v is what was remembered
// then, and replayed is set: do has changed nothing. An error of do is not
// remembered. Of a call in steps v is what the last step left, before do runs.
//
// Kinds besides those of do: Invalid (the key is none), Unprocessable (it stands for
// another request), Conflict (InFlight).
func once[T any](ctx context.Context, r *repeats, p tenant.Principal, q request, v *T, do func(o *tenant.Once) error) (replayed bool, err error) {
	key := p.IdempotencyKey()
	if key == "" {
		return false, do(nil)
	}
	o, err := r.begin(p, key, q)
	if err != nil {
		return false, err
	}
	land, err := r.enter(o)
	if err != nil {
		return false, err
	}
	defer land()
	o.Answer = func() ([]byte, error) { return r.pack(o, q, v) }
	if q.steps {
		if err := r.recall(ctx, o); err != nil {
			return false, err
		}
		if o.Found != nil && !o.Found.Done {
			if err := unpack(r, o, q, v); err != nil {
				return false, err
			}
			o.Steps, o.Found = o.Found.Steps, nil
		}
	}
	if o.Found == nil {
		err = do(o)
	}
	if err != nil && o.Found == nil { // what it was about may have changed since it was done
		if taken := r.recall(ctx, o); fault.Is(taken, fault.Unprocessable) {
			err = taken
		}
	}
	if o.Found == nil || !o.Found.Done {
		return false, err
	}
	p.Replay()
	return true, unpack(r, o, q, v)
}

// begin makes the record of a call.
func (r *repeats) begin(p tenant.Principal, key string, q request) (*tenant.Once, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if q.secret && r.seal == nil {
		return nil, fault.New(fault.Unprocessable, "HX-IDEM-002", "there is no key for secrets here, so the answer cannot be remembered", "leave the idempotency key out")
	}
	of, err := json.Marshal(q.of)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	sum := sha256.Sum256(append([]byte(q.operation+"\n"), of...))
	return &tenant.Once{Tenant: p.Tenant(), Principal: p.Name(), Key: key, Digest: sum[:]}, nil
}

// enter notes that the call is at work, until land is called.
func (r *repeats) enter(o *tenant.Once) (land func(), err error) {
	f := flight{o.Tenant, o.Principal, o.Key}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flying[f] {
		return nil, ErrInFlight()
	}
	r.flying[f] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.flying, f)
	}, nil
}

// recall sets Found.
func (r *repeats) recall(ctx context.Context, o *tenant.Once) error {
	old, err := r.answers.Remembered(ctx, o)
	if err == nil && old != nil && string(old.Digest) != string(o.Digest) {
		err = ErrKeyTaken()
	}
	if err == nil {
		o.Found = old
	}
	return err
}

// pack makes the text of an answer. A sealed one begins with the name of the key.
func (r *repeats) pack(o *tenant.Once, q request, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("encode the answer: %w", err)
	case len(text) > maxAnswer:
		return nil, fault.Newf(fault.Unprocessable, "HX-IDEM-003", "leave the idempotency key out", "the answer is longer than the %d bytes that are remembered", maxAnswer)
	case q.secret:
		text = append([]byte(r.seal.ID()), r.seal.Seal(text, about(o))...)
	}
	return text, nil
}

// about is what a sealed answer belongs to.
func about(o *tenant.Once) string {
	return strings.Join([]string{"answer", string(o.Tenant), o.Principal, o.Key}, "\x00")
}

// unpack reads the answer that was found.
func unpack[T any](r *repeats, o *tenant.Once, q request, v *T) error {
	text := o.Found.Answer
	if q.secret {
		sealed, ours := strings.CutPrefix(string(text), r.seal.ID())
		if !ours {
			return fault.New(fault.Conflict, "HX-IDEM-004", "it is done, but another node sealed the secret that the answer shows",
				"give all nodes the same secrets_key_file, or ask the node that did it")
		}
		var err error
		if text, err = r.seal.Open([]byte(sealed), about(o)); err != nil {
			return err
		}
	}
	var old T
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	*v = old
	return nil
}

// nothing is what a call answers that tells nothing.
type nothing struct{}

// update is once for a call that is one update.
func update[T any](ctx context.Context, s *Service, p tenant.Principal, scope tenant.Scope, q request, v *T, fn func(tx Tx) error) (replayed bool, err error) {
	return once(ctx, s.repeats, p, q, v, func(o *tenant.Once) error {
		return s.store.Update(ctx, scope.Under(o), fn)
	})
}

// updateThen is once for a call whose answer is looked up after the change. The
// change is remembered with v as it leaves it: if the process ends before the answer
// is there, who repeats the call gets to read.
func updateThen[T any](ctx context.Context, s *Service, p tenant.Principal, q request, v *T, change func(o *tenant.Once) error, read func() error) (replayed bool, err error) {
	q.steps = true
	return once(ctx, s.repeats, p, q, v, func(o *tenant.Once) error {
		if o == nil {
			if err := change(nil); err != nil {
				return err
			}
			return read()
		}
		if o.Steps == 0 {
			o.More = true
			if err := change(o); err != nil || o.Found != nil {
				return err
			}
			o.Steps++
		}
		if err := read(); err != nil {
			return err
		}
		o.More = false
		return s.store.Remember(ctx, o)
	})
}
