package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// MaxBatch is the most jobs that one submit may hold.
const MaxBatch = job.MaxBatch

// SubmitOptions go with a submit.
type SubmitOptions struct {
	// IdempotencyKey makes a repeated submit safe: the same key with the same
	// jobs gets the first answer again, with other jobs kind Unprocessable. 1 to
	// 255 visible ASCII characters, kept for 24 hours. Empty: no protection.
	IdempotencyKey string
}

// SubmitResult tells what became of each job of a submit.
type SubmitResult struct {
	Jobs     []job.Job // accepted and durable, in the order of the request
	Refused  []Refusal // in the order of the request
	Replayed bool      // the answer to an earlier request with the same key
}

// Refusal is a job of a batch that was not accepted.
type Refusal struct {
	Index int          `json:"index"` // position in the request, from 0
	Error *job.Failure `json:"error"`
}

// Submit checks each job and stores the good ones, all in one transaction: when
// it returns nil they survive any crash. If every job is refused the error says
// why (kind Invalid, Unprocessable, or Exhausted for a quota) and Refused is
// complete; if only some are, the error is nil. An error of kind Unavailable
// leaves the outcome unknown: repeat with the same idempotency key.
func (s *Service) Submit(ctx context.Context, p tenant.Principal, specs []job.Spec, o SubmitOptions) (SubmitResult, error) {
	scope, err := p.Scope(tenant.JobSubmit)
	if err != nil {
		return SubmitResult{}, err
	}
	if err := checkRequest(specs, o); err != nil {
		return SubmitResult{}, err
	}
	digest, err := digestOf(specs)
	if err != nil {
		return SubmitResult{}, err
	}
	fresh, err := s.prepare(ctx, scope, specs)
	if err != nil {
		if old, found := s.answered(ctx, scope, o.IdempotencyKey, digest); found {
			p.Replay()
			return s.reload(ctx, scope, old) // what it names, such as a profile, may have gone since
		}
		return fresh, err
	}
	result, err := s.insert(ctx, scope, fresh, o.IdempotencyKey, digest)
	if err != nil && len(result.Jobs) > 0 {
		result = SubmitResult{} // whatever befell them, it is not their refusal
	}
	s.observeRefused(result)
	if err != nil {
		return result, err
	}
	if result.Replayed {
		p.Replay()
		return s.reload(ctx, scope, result)
	}
	s.observeSubmitted(result.Jobs)
	return result, nil
}

// prepare splits the request into jobs and refusals. The error is not nil if
// nothing is left to store.
func (s *Service) prepare(ctx context.Context, scope tenant.Scope, specs []job.Spec) (SubmitResult, error) {
	var (
		r     SubmitResult
		first error
	)
	known := s.profilesOf(ctx, scope)
	for i, spec := range specs {
		spec, err := known.merge(spec)
		if err == nil {
			err = spec.Validate(s.deps.Now())
		}
		if err == nil {
			err = s.deps.Validator.Validate(ctx, spec)
		}
		if err != nil {
			if k := fault.KindOf(err); k == fault.Internal || k == fault.Cancelled || k.Retryable() {
				return SubmitResult{}, err
			}
			r.Refused = append(r.Refused, Refusal{Index: i, Error: job.FailureOf(err)})
			if first == nil {
				first = err
			}
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return SubmitResult{}, fault.Wrap(err, fault.Internal, "HX-JOB-010", "no random number for a job id", "")
		}
		r.Jobs = append(r.Jobs, job.New(id.String(), string(scope.Tenant()), s.sealURLs(scope, spec), s.deps.Now()))
	}
	if len(r.Jobs) > 0 {
		return r, nil
	}
	if len(specs) == 1 {
		return r, first
	}
	return r, fault.Newf(fault.Unprocessable, "HX-JOB-011", "correct the jobs; each refusal says what is wrong",
		"all %d jobs were refused; the first: %s", len(specs), fault.As(first).Msg)
}

// answer is what the store remembers of a submit.
type answer struct {
	IDs     []string  `json:"ids"`
	Refused []Refusal `json:"refused,omitempty"`
}

// insert stores the jobs and the idempotency key in one transaction, or returns
// the answer that the key got before: then Jobs have only their ID.
func (s *Service) insert(ctx context.Context, scope tenant.Scope, fresh SubmitResult, key string, digest []byte) (SubmitResult, error) {
	result := fresh
	err := s.store.Update(ctx, scope, func(tx Tx) error {
		result = fresh
		if key != "" {
			old, found, err := replay(tx, key, digest)
			if err != nil || found {
				result = old
				return err
			}
		}
		if err := result.admit(tx); err != nil {
			return err
		}
		a := answer{Refused: result.Refused}
		for i := range result.Jobs {
			if err := tx.Insert(&result.Jobs[i]); err != nil {
				return err
			}
			a.IDs = append(a.IDs, result.Jobs[i].ID)
		}
		if key == "" {
			return nil
		}
		body, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		return tx.Remember(key, digest, body)
	})
	return result, err
}

// answered looks for the answer that the key got before.
func (s *Service) answered(ctx context.Context, scope tenant.Scope, key string, digest []byte) (old SubmitResult, found bool) {
	if key == "" {
		return SubmitResult{}, false
	}
	err := s.store.Update(ctx, scope, func(tx Tx) (err error) {
		old, found, err = replay(tx, key, digest)
		return err
	})
	return old, found && err == nil
}

// replay returns the earlier answer under the key. Kind Unprocessable if it was
// given to other jobs.
func replay(tx Tx, key string, digest []byte) (SubmitResult, bool, error) {
	oldDigest, body, found, err := tx.Replay(key)
	if err != nil || !found {
		return SubmitResult{}, false, err
	}
	if !bytes.Equal(oldDigest, digest) {
		return SubmitResult{}, false, ErrKeyTaken()
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return SubmitResult{}, false, fmt.Errorf("decode the answer: %w", err)
	}
	r := SubmitResult{Refused: a.Refused, Replayed: true}
	for _, id := range a.IDs {
		r.Jobs = append(r.Jobs, job.Job{ID: id})
	}
	return r, true, nil
}

// reload fills in the jobs of a replayed answer as they are now.
func (s *Service) reload(ctx context.Context, scope tenant.Scope, r SubmitResult) (SubmitResult, error) {
	reader := s.store.Reader(scope)
	for i := range r.Jobs {
		j, err := reader.Job(ctx, r.Jobs[i].ID)
		if err != nil {
			return SubmitResult{}, err
		}
		r.Jobs[i] = j
	}
	return r, nil
}

func (s *Service) observeSubmitted(jobs []job.Job) {
	if s.deps.Hooks.Submitted == nil {
		return
	}
	for i := range jobs {
		s.deps.Hooks.Submitted(jobs[i])
	}
}

func checkRequest(specs []job.Spec, o SubmitOptions) error {
	switch {
	case len(specs) == 0:
		return fault.New(fault.Invalid, "HX-JOB-013", "the request holds no job", `send a job, a list of jobs or {"jobs": […]}`)
	case len(specs) > MaxBatch:
		return fault.Newf(fault.Unprocessable, "HX-JOB-014", "split it",
			"the request holds %d jobs; %d are allowed", len(specs), MaxBatch)
	}
	return checkKey(o.IdempotencyKey)
}

// digestOf identifies the content of a request, however it was spelled.
func digestOf(specs []job.Spec) ([]byte, error) {
	body, err := json.Marshal(specs)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	sum := sha256.Sum256(body)
	return sum[:], nil
}
