package store

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	channel    = "hypersdk"                                                                               // of NOTIFY
	sqlNotify  = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + channel + `', $1)` // nothing that is to last
	maxPayload = 7900                                                                                     // bytes; PostgreSQL's limit is 8000

	listenPause = time.Second      // before a lost connection is made anew
	listenPing  = 20 * time.Second // how long silence is believed
)

// listener wakes this node's watchers when another node has committed
// something. It only makes things quick: whoever watches looks by itself, too.
type listener struct {
	self string // marks what this process sent
	c    *pgx.ConnConfig
	p    *primary
	hub  *event.Hub
	log  *slog.Logger
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// listen starts the listener; close ends it.
func listen(ctx context.Context, c *pgx.ConnConfig, p *primary, hub *event.Hub, log *slog.Logger) (*listener, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "HX-STORE-025", "no random number for the name of a connection", "")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &listener{self: id.String(), c: c, p: p, hub: hub, log: log, stop: stop}
	l.wg.Go(func() { l.run(ctx) })
	return l, nil
}

func (l *listener) close() {
	l.stop()
	l.wg.Wait()
}

// run listens until ctx is done. While there is no connection, polling has to do.
func (l *listener) run(ctx context.Context) {
	for first, quiet := true, false; ctx.Err() == nil; first = false {
		heard, err := l.hear(ctx, first)
		if ctx.Err() != nil {
			return
		}
		if heard || !quiet {
			l.log.Warn("notifications of the other nodes are cut off; polling goes on", "error", fault.Detail(classify(err)))
		}
		quiet = !heard
		select {
		case <-ctx.Done():
		case <-time.After(listenPause/2 + rand.N(listenPause)): //nolint:gosec // no secret
		}
	}
}

// hear listens over one connection until it breaks; heard tells whether there
// was one.
func (l *listener) hear(ctx context.Context, first bool) (heard bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, l.c)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTime)
		defer cancel()
		_ = conn.Close(ctx) // it only heard
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	if !first {
		l.hub.TouchAll() // what was said in between is lost
	}
	for {
		if err := l.next(ctx, conn); err != nil {
			return true, err
		}
	}
}

// next takes one notification, or finds out after a while of silence that the
// connection is alive.
func (l *listener) next(ctx context.Context, conn *pgx.Conn) error {
	wait, cancel := context.WithTimeout(ctx, listenPing)
	defer cancel()
	n, err := conn.WaitForNotification(wait)
	if err == nil {
		from, topics, _ := strings.Cut(n.Payload, "\n")
		if from != l.self {
			for topic := range strings.SplitSeq(topics, "\n") {
				l.hub.Touch(event.Topic(topic))
			}
		}
		return nil
	}
	if wait.Err() == nil || ctx.Err() != nil || conn.IsClosed() {
		return err
	}
	if !l.p.holds(conn.PgConn()) {
		return errSuperseded
	}
	ping, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return conn.Ping(ping)
}

// tell tells the other nodes what a writer's last commit touched. It is a
// transaction of its own: NOTIFY makes the commits of all nodes wait for each
// other, and there is nothing to wait for here.
func (l *listener) tell(w *writer, topics []event.Topic) {
	defer w.limit()()
	seen := map[event.Topic]bool{}
	payload := l.self
	var all []statement
	for _, t := range topics {
		if seen[t] {
			continue
		}
		seen[t] = true
		if len(payload)+1+len(t) > maxPayload {
			all = append(all, statement{sql: sqlNotify, args: []any{payload}})
			payload = l.self
		}
		payload += "\n" + string(t)
	}
	if _, err := w.pipe(append(all, statement{sql: sqlNotify, args: []any{payload}})...); err != nil {
		w.drop() // what is lost costs the others a little time
	}
}
