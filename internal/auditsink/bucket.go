package auditsink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
)

// Bucket stores each batch as an object of its own, which is never changed: its name
// tells the places, it holds the lines that an export of the log has, and the signed
// checkpoint in the last of them. All objects in the order of their names are an
// export.
type Bucket struct {
	store          *s3.Store
	bucket, prefix string
}

// NewBucket makes a Bucket below a prefix, which may be empty.
func NewBucket(store *s3.Store, bucket, prefix string) *Bucket {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Bucket{store, bucket, prefix}
}

// Close implements Sink.
func (*Bucket) Close() error { return nil }

// Deliver implements Sink.
func (b *Bucket) Deliver(ctx context.Context, batch *Batch) error {
	var content bytes.Buffer
	w := json.NewEncoder(&content)
	w.SetEscapeHTML(false)
	for i := range batch.Lines {
		if err := w.Encode(&batch.Lines[i]); err != nil {
			return fmt.Errorf("encode place %d: %w", batch.Lines[i].Pos, err)
		}
	}
	key := fmt.Sprintf("%s%020d-%020d.jsonl", b.prefix, batch.From, batch.To)
	there, err := b.store.PutOnce(ctx, b.bucket, key, "application/jsonl", content.Bytes())
	if err != nil || there == nil || bytes.Equal(there, content.Bytes()) || sameLog(there, batch.Lines) {
		return err
	}
	return fault.Newf(fault.Corrupt, "HX-AUDIT-024", "keep it, find out who stored it, and give the sink another destination",
		"s3://%s/%s exists, and is not the log", b.bucket, key)
}

// sameLog tells whether stored lines are those of the log: leaves may have been
// removed since.
func sameLog(stored []byte, lines []audit.Line) bool {
	var there []audit.Line
	for l, err := range audit.ReadLines(bytes.NewReader(stored)) {
		if err != nil || l.Leaf != "" && l.LeafHash() != l.Hash {
			return false
		}
		there = append(there, l)
	}
	return slices.EqualFunc(there, lines, func(a, b audit.Line) bool { return a.Pos == b.Pos && a.Hash == b.Hash })
}
