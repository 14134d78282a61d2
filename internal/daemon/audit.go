package daemon

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// witnessFile holds the last checkpoint, in the state directory: out of the reach
// of who can only change the database.
const witnessFile = "audit.checkpoint"

const (
	// witnessEvery is how old the witness may be while the log grows.
	witnessEvery = 5 * time.Second
	witnessTime  = 5 * time.Second // to ask the database
)

// witness remembers outside of the database how far the log was.
type witness struct {
	path  string
	log   service.AuditReader
	feed  service.Feed
	known int64 // size of what is on the disk
}

// openAudit lets the node's key sign the log, and compares the log with what the
// node saw of it last. Kind Corrupt if it went back, or was written anew.
func (e *Engine) openAudit(ctx context.Context, nodeID, stateDir string) error {
	signer, err := audit.NewSigner(nodeID, e.key)
	if err != nil {
		return err
	}
	e.store.SignLog(signer)
	e.audit, e.refusals = service.NewAudit(e.store), service.NewRefusals(e.store, nil, e.log)
	all, err := tenant.NewPrincipal(tenant.Default, "system", tenant.PlatformRead).Platform(tenant.PlatformRead)
	if err != nil {
		return err
	}
	e.witness = &witness{path: filepath.Join(stateDir, witnessFile), log: e.store.AuditOfAll(all), feed: e.store}
	return e.witness.compare(ctx)
}

// denied tells the audit of a refused attempt. What was presented as a credential is
// told by a keyed hash: the same one is seen again, and nobody learns what it is.
func (e *Engine) denied(d gate.Denial) {
	refusal := fault.As(d.Err)
	r := event.Refusal{
		Tenant: d.Principal.Tenant(), Actor: cmp.Or(d.Principal.Name(), event.Anonymous), Operation: d.Operation,
		Code: refusal.Code, Reason: refusal.Kind.String(), Origin: d.Principal.Origin(),
	}
	if !d.Credential.Empty() {
		mac := hmac.New(sha256.New, e.key.Seed())
		mac.Write([]byte("audit credential\x00" + d.Credential.Reveal()))
		r.Credential = "hmac:" + hex.EncodeToString(mac.Sum(nil)[:8])
	}
	e.refusals.Note(r)
}

// compare holds the log against the file. A node that has none compares nothing.
func (w *witness) compare(ctx context.Context) error {
	text, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-AUDIT-012", "the last checkpoint of the audit log, "+w.path+", cannot be read", "check the state directory")
	}
	kept, err := audit.Parse(string(text))
	if err != nil {
		return fault.Wrap(err, fault.Corrupt, "HX-AUDIT-013", w.path+" holds no checkpoint", "find out who changed it; if it is beyond help, remove it")
	}
	ctx, cancel := context.WithTimeout(ctx, witnessTime)
	defer cancel()
	root, err := w.log.Tree(ctx).Root(kept.Size)
	switch {
	case errors.Is(err, audit.ErrTile), err == nil && root != kept.Root:
		return fault.Newf(fault.Corrupt, "HX-AUDIT-014",
			"find out what happened to the database (`hyperctl audit verify --database` tells); if a backup was restored on purpose, move "+w.path+" away",
			"the audit log is not the one that this node saw at %s: it went back behind %d entries, or was written anew", kept.Time.Format(time.RFC3339), kept.Size)
	case err != nil:
		return err
	}
	w.known = kept.Size
	return nil
}

// run keeps the file up to date until ctx is done, and once more then.
func (w *witness) run(ctx context.Context, log *slog.Logger) error {
	wake, stop := w.feed.Watch(event.Log)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), witnessTime)
			defer cancel()
			w.note(last, log)
			return nil
		case <-wake:
		}
		w.note(ctx, log)
		select {
		case <-ctx.Done():
		case <-time.After(witnessEvery):
		}
	}
}

// note writes the last checkpoint, if it is a newer one.
func (w *witness) note(ctx context.Context, log *slog.Logger) {
	c, err := w.log.Checkpoint(ctx, 0)
	if err != nil || c.Size <= w.known {
		return // the next look is the same question
	}
	if err := replaceFile(w.path, []byte(c.Note)); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "the last checkpoint of the audit log is not kept", slog.String("error", err.Error()))
		return
	}
	w.known = c.Size
}

// replaceFile writes a file whole or not at all, durably.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
