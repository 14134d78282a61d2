package store

import (
	"bytes"
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// keepKeys is how long an idempotency key is remembered.
const keepKeys = 24 * time.Hour

const (
	// sqlAnswer locks the row: so the commit waits until what the row tells of is as
	// durable as an answer must be. That of the first call may still wait for a standby.
	sqlAnswer = `SELECT digest, answer, steps, done FROM answers
		WHERE tenant = $1 AND key = $2 AND principal IN ($3, '') AND at > $4 /*! FOR UPDATE */`
	sqlForgetAnswers = `DELETE FROM answers WHERE at <= $1`
	sqlNewAnswer     = `INSERT INTO answers (tenant, principal, key, digest, answer, steps, done, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	sqlNextAnswer = `UPDATE answers SET answer = $1, steps = $2, done = $3
		WHERE tenant = $4 AND principal = $5 AND key = $6 AND steps = $7 AND done = 0`
)

// Remembered implements service.Answers.
func (s *Store) Remembered(ctx context.Context, o *tenant.Once) (*tenant.Remembered, error) {
	var r answerRow
	var found bool
	err := s.w.update(ctx, func(t *tx) (err error) {
		found, err = t.rowAside(sqlAnswer, answerArgs(o, t.now), r.dest()...)
		return err
	})
	if err != nil || !found {
		return nil, err
	}
	return r.remembered(), nil
}

// Remember implements service.Answers.
func (s *Store) Remember(ctx context.Context, o *tenant.Once) error {
	return s.w.update(ctx, func(t *tx) error { return t.once(o, func() error { return nil }) })
}

type answerRow struct {
	tenant.Remembered
	done int
}

func (r *answerRow) dest() []any { return []any{&r.Digest, &r.Answer, &r.Steps, &r.done} }

func (r *answerRow) remembered() *tenant.Remembered {
	r.Done = r.done != 0
	return &r.Remembered
}

func answerArgs(o *tenant.Once, now time.Time) []any {
	return []any{string(o.Tenant), o.Key, o.Principal, now.Add(-keepKeys).UnixMicro()}
}

// once runs fn and remembers its answer, in the same transaction; or, if that was
// done before, does nothing and says what came of it. Kinds besides those of fn:
// Unprocessable (the key stands for something else), Conflict (another node is at
// it). Without o it runs fn.
func (t *tx) once(o *tenant.Once, fn func() error) error {
	if o == nil {
		return fn()
	}
	o.Found = nil
	var r answerRow
	found, err := t.rowAside(sqlAnswer, answerArgs(o, t.now), r.dest()...)
	switch old := r.remembered(); {
	case err != nil:
		return err
	case found && !bytes.Equal(old.Digest, o.Digest):
		return service.ErrKeyTaken()
	case found && old.Done:
		o.Found = old
		return nil
	case found && old.Steps != o.Steps:
		return service.ErrInFlight()
	}
	if err := fn(); err != nil {
		return err
	}
	answer, err := o.Answer()
	if err != nil {
		return err
	}
	if o.Steps == 0 {
		return t.remember(o, answer)
	}
	n, err := t.execAside(sqlNextAnswer, answer, o.Steps+1, flag(!o.More), string(o.Tenant), o.Principal, o.Key, o.Steps)
	if err == nil && n == 0 && found { // a row that is gone went with the caller's tenant: nobody will ask
		err = service.ErrInFlight()
	}
	return err
}

// remember stores the first answer of a call. It drops those whose time is over.
func (t *tx) remember(o *tenant.Once, answer []byte) error {
	if _, err := t.execAside(sqlForgetAnswers, t.now.Add(-keepKeys).UnixMicro()); err != nil {
		return err
	}
	_, err := t.execAside(sqlNewAnswer, string(o.Tenant), o.Principal, o.Key, o.Digest, answer, 1, flag(!o.More), t.now.UnixMicro())
	return err
}

// Replay implements service.Tx.
func (t *scopedTx) Replay(key string) (digest, answer []byte, found bool, err error) {
	var r answerRow
	found, err = t.tx.rowAside(sqlAnswer, answerArgs(t.call(key), t.tx.now), r.dest()...)
	return r.Digest, r.Answer, found, err
}

// Remember implements service.Tx.
func (t *scopedTx) Remember(key string, digest, answer []byte) error {
	o := t.call(key)
	o.Digest = digest
	return t.tx.remember(o, answer)
}

// call is that of the scope's own tenant.
func (t *scopedTx) call(key string) *tenant.Once {
	return &tenant.Once{Tenant: t.scope.Tenant(), Principal: t.scope.Actor(), Key: key}
}
