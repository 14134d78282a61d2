package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/service"
)

const sqlProfiles = `SELECT id, text, json, updated_at FROM profiles WHERE tenant = $1 ORDER BY id`

// Profiles implements service.ProfileReader.
func (r *reader) Profiles(ctx context.Context) ([]service.StoredProfile, error) {
	rows, err := r.s.read.QueryContext(ctx, sqlProfiles, r.tenant)
	all, err := scanAll(rows, err, scanProfile)
	return all, classify(err)
}

func scanProfile(rows *sql.Rows) (p service.StoredProfile, err error) {
	var isJSON, at int64
	err = rows.Scan(&p.ID, &p.Text, &isJSON, &at)
	p.JSON, p.UpdatedAt = isJSON != 0, time.UnixMicro(at).UTC()
	return p, err
}

// Profiles implements service.ProfileTx.
func (t *scopedTx) Profiles() ([]service.StoredProfile, error) {
	s, err := t.tx.w.stmt(sqlProfiles) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.tx.w.base, string(t.scope.Tenant()))
	return scanAll(rows, err, scanProfile)
}

// PutProfile implements service.ProfileTx.
func (t *scopedTx) PutProfile(p service.StoredProfile) error {
	isJSON := 0
	if p.JSON {
		isJSON = 1
	}
	_, err := t.tx.exec(`INSERT INTO profiles (tenant, id, text, json, updated_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant, id) DO UPDATE SET text = excluded.text, json = excluded.json, updated_at = excluded.updated_at`,
		string(t.scope.Tenant()), p.ID, p.Text, isJSON, p.UpdatedAt.UnixMicro())
	if err != nil {
		return err
	}
	return t.tx.append(event.OfProfile(string(t.scope.Tenant()), p.ID, "put", t.scope.Actor(), t.tx.now))
}

// DeleteProfile implements service.ProfileTx.
func (t *scopedTx) DeleteProfile(id string) error {
	n, err := t.tx.exec(`DELETE FROM profiles WHERE tenant = $1 AND id = $2`, string(t.scope.Tenant()), id)
	if err != nil || n == 0 {
		return err
	}
	return t.tx.append(event.OfProfile(string(t.scope.Tenant()), id, "deleted", t.scope.Actor(), t.tx.now))
}
