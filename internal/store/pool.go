package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// pool are the connections that read. Of SQLite it keeps the statements prepared: to
// parse and plan one takes longer than most answers. The driver of PostgreSQL does
// that by itself.
type pool struct {
	*sql.DB

	prepares bool

	mu   sync.Mutex
	kept map[string]*sql.Stmt // by text
}

// maxKept bounds the memory: each connection has its own form of a statement. Lists
// have a text for each combination of filters; the first ones stay.
const maxKept = 128

// QueryContext shadows that of sql.DB.
func (p *pool) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if s := p.stmt(ctx, text); s != nil { //nolint:sqlclosecheck // the pool keeps it
		return s.QueryContext(ctx, args...)
	}
	return p.DB.QueryContext(ctx, text, args...)
}

// QueryRowContext shadows that of sql.DB.
func (p *pool) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if s := p.stmt(ctx, text); s != nil { //nolint:sqlclosecheck // the pool keeps it
		return s.QueryRowContext(ctx, args...)
	}
	return p.DB.QueryRowContext(ctx, text, args...)
}

// stmt returns the prepared form of a statement, or nil: then it is asked as it is,
// and what is wrong with it shows.
func (p *pool) stmt(ctx context.Context, text string) *sql.Stmt {
	if !p.prepares {
		return nil
	}
	p.mu.Lock()
	s, full := p.kept[text], len(p.kept) >= maxKept
	p.mu.Unlock()
	if s != nil || full {
		return s
	}
	s, err := p.PrepareContext(ctx, text) // may wait for a connection of somebody who comes here next: no lock is held
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.kept[text]; first != nil || len(p.kept) >= maxKept { // others were faster
		_ = s.Close() //nolint:sqlclosecheck // in time: nobody has asked it
		return first
	}
	if p.kept == nil {
		p.kept = make(map[string]*sql.Stmt)
	}
	p.kept[text] = s
	return s
}

// Close shadows that of sql.DB.
func (p *pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.kept {
		errs = append(errs, s.Close())
	}
	clear(p.kept)
	return errors.Join(append(errs, p.DB.Close())...)
}
