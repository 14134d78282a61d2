package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var _ service.AuditStore = (*Store)(nil)

// AuditOf implements service.AuditStore. The reader of the zero scope finds
// nothing.
func (s *Store) AuditOf(scope tenant.Scope) service.AuditReader {
	return &auditReader{db: s.read, tenant: string(scope.Tenant())}
}

// AuditOfAll implements service.AuditStore.
func (s *Store) AuditOfAll(p tenant.PlatformScope) service.AuditReader {
	return &auditReader{db: s.read, all: p.Actor() != ""}
}

// AppendRefusals implements service.AuditStore.
func (s *Store) AppendRefusals(ctx context.Context, refusals []event.Refusal) error {
	return s.w.update(ctx, func(t *tx) error {
		for i := range refusals {
			if err := t.append(event.OfRefusal(&refusals[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

// auditReader reads the log of one tenant, or of all.
type auditReader struct {
	db     *pool
	tenant string
	all    bool
}

// Entries implements service.AuditReader.
func (r *auditReader) Entries(ctx context.Context, q service.AuditQuery, before int64) ([]audit.Record, error) {
	var w where
	w.add("pos > $%d", 0)
	if !r.all {
		w.add("tenant = $%d", r.tenant)
	}
	if before > 0 {
		w.add("pos < $%d", before)
	}
	switch {
	case strings.HasSuffix(q.Event, "."):
		w.add("kind LIKE $%d ESCAPE '!'", strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(q.Event)+"%")
	case q.Event != "":
		w.add("kind = $%d", q.Event)
	}
	if q.Actor != "" {
		w.add("actor = $%d", q.Actor)
	}
	if id, isJob := strings.CutPrefix(q.Resource, "job:"); isJob || q.Resource != "" && !strings.Contains(q.Resource, ":") {
		w.add("job_id = $%d", id)
	} else if q.Resource != "" {
		subject, err := encode(q.Resource)
		if err != nil {
			return nil, err
		}
		// encode writes the subject first, and no other text before it.
		w.add("data LIKE $%d ESCAPE '!'", strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(`{"subject":`+subject)+",%")
	}
	if !q.Since.IsZero() {
		w.add("at >= $%d", q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		w.add("at < $%d", q.Until.UnixMicro())
	}
	query := `SELECT ` + recordColumns + ` FROM events WHERE ` + w.String() + ` ORDER BY pos DESC LIMIT ` + w.arg(q.Limit)
	rows, err := r.db.QueryContext(ctx, query, w.args...)
	records, err := scanAll(rows, err, scanRecord)
	return records, classify(err)
}

// Lines implements service.AuditReader.
func (r *auditReader) Lines(ctx context.Context, after int64, limit int) ([]audit.Line, error) {
	var size int64
	if err := r.db.QueryRowContext(ctx, `SELECT size FROM log_head WHERE id = 1`).Scan(&size); err != nil {
		return nil, classify(err)
	}
	end := min(after+int64(limit), size)
	if after >= end {
		return nil, nil
	}
	records, err := r.records(ctx, after, end)
	if err != nil {
		return nil, err
	}
	notes, err := r.notes(ctx, after, end)
	if err != nil {
		return nil, err
	}
	tree, lines := r.Tree(ctx), make([]audit.Line, 0, end-after)
	for pos := after + 1; pos <= end; pos++ {
		l := audit.Line{Pos: pos}
		if l.Hash, err = tree.Leaf(pos); err != nil && !errors.Is(err, audit.ErrTile) {
			return nil, err
		}
		// One record has the place, unless somebody was at the database.
		n := 0
		for n < len(records) && records[n].Pos == pos {
			lines = append(lines, r.line(l, &records[n], err != nil))
			n++
		}
		if n == 0 {
			lines = append(lines, l)
		}
		records = records[n:]
		lines[len(lines)-1].Checkpoint = notes[pos]
	}
	return lines, nil
}

// line puts the entry into a line; with rehash the hash is that of the entry as it
// is, because the stored one is lost.
func (r *auditReader) line(l audit.Line, record *audit.Record, rehash bool) audit.Line {
	if rehash {
		l.Hash = record.Hash()
	}
	if l.Hidden = !r.all && record.Tenant != r.tenant; !l.Hidden {
		l.Leaf = string(record.Leaf())
	}
	return l
}

func (r *auditReader) records(ctx context.Context, after, end int64) ([]audit.Record, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT `+recordColumns+` FROM events WHERE pos > $1 AND pos <= $2 ORDER BY pos`, after, end)
	records, err := scanAll(rows, err, scanRecord)
	return records, classify(err)
}

// notes returns the checkpoints of sizes behind after, up to end.
func (r *auditReader) notes(ctx context.Context, after, end int64) (map[int64]string, error) {
	notes := map[int64]string{}
	rows, err := r.db.QueryContext(ctx, `SELECT size, note FROM log_checkpoints WHERE size > $1 AND size <= $2`, after, end)
	_, err = scanAll(rows, err, func(rows *sql.Rows) (size int64, err error) {
		var note string
		err = rows.Scan(&size, &note)
		notes[size] = note
		return size, err
	})
	return notes, classify(err)
}

// Line implements service.AuditReader.
func (r *auditReader) Line(ctx context.Context, pos int64) (audit.Line, error) {
	var lines []audit.Line
	var err error
	if pos > 0 {
		lines, err = r.Lines(ctx, pos-1, 1)
	}
	if err == nil && (len(lines) == 0 || lines[0].Hidden) {
		err = fault.Newf(fault.NotFound, "HX-AUDIT-008", "list the entries to see their places", "there is no entry at place %d", pos)
	}
	if err != nil {
		return audit.Line{}, err
	}
	return lines[0], nil
}

// Checkpoint implements service.AuditReader.
func (r *auditReader) Checkpoint(ctx context.Context, size int64) (audit.Checkpoint, error) {
	query, args := `SELECT note FROM log_checkpoints ORDER BY size DESC LIMIT 1`, []any{}
	if size > 0 {
		query, args = `SELECT note FROM log_checkpoints WHERE size >= $1 ORDER BY size LIMIT 1`, []any{size}
	}
	var note string
	err := r.db.QueryRowContext(ctx, query, args...).Scan(&note)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Checkpoint{}, fault.New(fault.NotFound, "HX-AUDIT-009", "no checkpoint was signed yet", "try again in a moment")
	}
	if err != nil {
		return audit.Checkpoint{}, classify(err)
	}
	return audit.Parse(note)
}

// Tree implements service.AuditReader.
func (r *auditReader) Tree(ctx context.Context) *audit.Tree {
	return audit.NewTree(func(id audit.TileID) ([]byte, error) { return readTile(ctx, r.db, id) })
}
