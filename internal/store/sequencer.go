package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// placeBatch is how many events get their places in one transaction.
	placeBatch = 500
	// placePause gathers events: a place costs little in a batch, and a commit
	// alone.
	placePause = 20 * time.Millisecond
	// placePoll is how long the sequencer trusts the feed.
	placePoll = time.Second
)

const (
	sqlUnplaced = `SELECT 1 FROM events WHERE pos IS NULL LIMIT 1`
	sqlLogSize  = `SELECT size FROM log_head WHERE id = 1 /*! FOR UPDATE SKIP LOCKED */`
	sqlPlace    = `UPDATE events SET pos = placed.pos FROM
		(SELECT seq, $1 + ROW_NUMBER() OVER (ORDER BY seq) AS pos FROM events WHERE pos IS NULL ORDER BY seq LIMIT $2) AS placed
		WHERE events.seq = placed.seq`
)

// Sequence gives places in the log to events that have been committed, at most
// limit of them, and returns how many: those that commit later get later ones.
// One node does it at a time; 0 if another does.
//
// The events go into the Merkle tree with their places, and a checkpoint of it is
// signed, in the same transaction.
//
// A reader that goes on behind the last place it saw misses nothing. By seq it
// could: a transaction may take its numbers and commit behind one that took
// higher ones.
func (s *Store) Sequence(ctx context.Context, limit int) (n int64, err error) {
	if none, err := s.nothing(ctx, question{sql: sqlUnplaced}); none || err != nil {
		return 0, err
	}
	err = s.w.update(ctx, func(t *tx) error {
		n, err = t.place(limit, s.signer)
		return err
	})
	return n, err
}

func (t *tx) place(limit int, signer *audit.Signer) (int64, error) {
	var size int64
	if found, err := t.row(sqlLogSize, nil, &size); err != nil || !found {
		return 0, err
	}
	n, err := t.exec(sqlPlace, size, limit)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := t.grow(size, signer); err != nil {
		return 0, err
	}
	t.touch(event.Log)
	_, err = t.exec(`UPDATE log_head SET size = $1 WHERE id = 1`, size+n)
	return n, err
}

// RunSequencer gives places to events until ctx is done. Events wait for their
// places, and with them their readers, while the database is away.
func (s *Store) RunSequencer(ctx context.Context, log *slog.Logger) error {
	wake, stop := s.hub.Watch(event.Appended)
	defer stop()
	for {
		n, err := s.Sequence(ctx, placeBatch)
		if err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelWarn, "events wait for their places in the log", slog.String("error", fault.Detail(err)))
		}
		if n == placeBatch {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(placePoll):
		case <-wake:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(placePause):
			}
		}
	}
}

const eventColumns = `seq, job_id, tenant, kind, actor, at, data, COALESCE(pos, 0)`

// Log implements service.Reader.
func (r *reader) Log(ctx context.Context, after int64, limit int) ([]event.Event, error) {
	rows, err := r.s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE tenant = $1 AND pos > $2 ORDER BY pos LIMIT $3`, r.tenant, after, limit)
	events, err := scanAll(rows, err, scanEvent)
	return events, classify(err)
}

// LogSize implements service.Reader.
func (r *reader) LogSize(ctx context.Context) (n int64, err error) {
	err = r.s.read.QueryRowContext(ctx, `SELECT size FROM log_head WHERE id = 1`).Scan(&n)
	return n, classify(err)
}
