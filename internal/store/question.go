package store

import (
	"context"
	"database/sql"
	"errors"
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
	err = s.read.QueryRowContext(ctx, q.sql, q.args...).Scan(found)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return false, classify(err)
}
