package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// AuditEntry tells who did what.
type AuditEntry struct {
	Pos       int64          `json:"pos"` // place in the log
	ID        int64          `json:"id"`
	Timestamp time.Time      `json:"timestamp"`
	Event     string         `json:"event"`
	Tenant    string         `json:"tenant,omitempty"`
	Actor     AuditActor     `json:"actor"`
	Resource  AuditResource  `json:"resource"`
	Action    string         `json:"action"` // create, update, delete, run, access
	Result    string         `json:"result"` // success, failure, denied
	RequestID string         `json:"request_id,omitempty"`
	TraceID   string         `json:"trace_id,omitempty"`
	Metadata  map[string]any `json:"metadata"`
}

// AuditActor is who did it. Type is user, node, system or anonymous.
type AuditActor struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	IP   string `json:"ip,omitempty"`
}

// AuditResource is what it was done to.
type AuditResource struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	VM   string `json:"vm,omitempty"`
}

// AuditQuery selects entries; empty fields select all.
type AuditQuery struct {
	Tenant   string
	Event    string // job.submitted, or job. for all of them
	Actor    string
	Resource string // a job's id, or TYPE:ID
	Since    time.Time
	Until    time.Time
	Limit    int   // of a page
	Cursor   int64 // NextCursor of the page before
}

// AuditPage is one page, newest first.
type AuditPage struct {
	Items      []AuditEntry `json:"items"`
	NextCursor int64        `json:"next_cursor,omitempty"` // 0: the last page
}

// AuditLine is one place of the log as it is hashed.
type AuditLine struct {
	Pos        int64  `json:"pos"`
	Hash       string `json:"hash,omitempty"`
	Leaf       string `json:"leaf,omitempty"`
	Hidden     bool   `json:"hidden,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
}

// AuditCheckpoint is what a node signed of the log.
type AuditCheckpoint struct {
	Size int64     `json:"size"`
	Root string    `json:"root"`
	Time time.Time `json:"time"`
	Node string    `json:"node"`
	Note string    `json:"note"` // the signed text
}

// AuditProof proves that an entry is in the log of the checkpoint.
type AuditProof struct {
	Entry      AuditLine       `json:"entry"`
	Hashes     []string        `json:"hashes"`
	Checkpoint AuditCheckpoint `json:"checkpoint"`
}

// AuditConsistency proves that the log of the checkpoint begins with From entries
// whose root is Root.
type AuditConsistency struct {
	From       int64           `json:"from"`
	Root       string          `json:"root"`
	Hashes     []string        `json:"hashes"`
	Checkpoint AuditCheckpoint `json:"checkpoint"`
}

// Audit returns one page of entries.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (page AuditPage, err error) {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("tenant", q.Tenant)
	set("event", q.Event)
	set("actor", q.Actor)
	set("resource", q.Resource)
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Cursor > 0 {
		v.Set("cursor", strconv.FormatInt(q.Cursor, 10))
	}
	return page, c.do(ctx, get("/audit", v, &page))
}

// AuditLog yields the places of the log behind after, in order. An error
// ends it.
func (c *Client) AuditLog(ctx context.Context, after int64) iter.Seq2[AuditLine, error] {
	return func(yield func(AuditLine, error) bool) {
		for {
			var page struct {
				Items []AuditLine `json:"items"`
			}
			if err := c.do(ctx, get("/audit/log", url.Values{"after": {strconv.FormatInt(after, 10)}}, &page)); err != nil {
				yield(AuditLine{}, err)
				return
			}
			if len(page.Items) == 0 {
				return
			}
			for _, l := range page.Items {
				if !yield(l, nil) {
					return
				}
				after = max(after, l.Pos)
			}
		}
	}
}

// AuditCheckpoint returns the last signed checkpoint.
func (c *Client) AuditCheckpoint(ctx context.Context) (out AuditCheckpoint, err error) {
	return out, c.do(ctx, get("/audit/checkpoint", nil, &out))
}

// AuditProof proves that the entry at a place is in the log.
func (c *Client) AuditProof(ctx context.Context, pos int64) (out AuditProof, err error) {
	return out, c.do(ctx, get("/audit/proof/"+strconv.FormatInt(pos, 10), nil, &out))
}

// AuditConsistency proves that the log continues an older checkpoint of so many
// entries.
func (c *Client) AuditConsistency(ctx context.Context, from int64) (out AuditConsistency, err error) {
	return out, c.do(ctx, get("/audit/consistency", url.Values{"from": {strconv.FormatInt(from, 10)}}, &out))
}
