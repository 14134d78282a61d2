package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// question is a query that finds nothing when there is nothing to do, or a number.
// It is asked of a reader first: looking for work does not wait for the writer.
type question struct {
	sql  string
	args []any
}

func (s *Store) nothing(ctx context.Context, q question) (bool, error) {
	var found any
	return s.ask(ctx, q, &found)
}

func (s *Store) ask(ctx context.Context, q question, found any) (none bool, err error) {
	row, err := s.asked.ask(ctx, s.read, q)
	if err != nil {
		return false, classify(err)
	}
	err = row.Scan(found)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return false, classify(err)
}

// prepared keeps what is asked again and again prepared, where the driver does not:
// to prepare one costs more than its answer. The zero value does not.
type prepared struct {
	local bool
	mu    sync.Mutex
	stmts map[string]*sql.Stmt // few: their texts are constants
}

func (k *prepared) ask(ctx context.Context, db *sql.DB, q question) (*sql.Row, error) {
	if !k.local {
		return db.QueryRowContext(ctx, q.sql, q.args...), nil
	}
	s, err := k.stmt(ctx, db, q.sql) //nolint:sqlclosecheck // it is kept until close
	if err != nil {
		return nil, err
	}
	return s.QueryRowContext(ctx, q.args...), nil
}

func (k *prepared) stmt(ctx context.Context, db *sql.DB, text string) (*sql.Stmt, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.stmts[text]; s != nil {
		return s, nil
	}
	s, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // it is kept until close
	if err != nil {
		return nil, err
	}
	if k.stmts == nil {
		k.stmts = make(map[string]*sql.Stmt)
	}
	k.stmts[text] = s
	return s, nil
}

func (k *prepared) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, s := range k.stmts {
		errs = append(errs, s.Close())
	}
	k.stmts = nil
	return errors.Join(errs...)
}
