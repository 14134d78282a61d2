package audit

import (
	"encoding/json"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a hash of the tree.
type Hash = tlog.Hash

// Record is an entry of the log as the database has it: texts are not interpreted,
// so that a change of a single byte is another leaf.
type Record struct {
	Pos    int64 // from 1
	Seq    int64
	JobID  string
	Tenant string
	Kind   string
	Actor  string
	At     int64  // microseconds since 1970
	Data   string // JSON
	Facts  string // JSON, or empty
}

// Leaf returns what is hashed: one JSON object, with the texts of the database
// verbatim in it.
func (r *Record) Leaf() []byte {
	b := make([]byte, 0, 256+len(r.Data)+len(r.Facts))
	b = strconv.AppendInt(append(b, `{"pos":`...), r.Pos, 10)
	b = strconv.AppendInt(append(b, `,"seq":`...), r.Seq, 10)
	for _, f := range [...]struct{ key, value string }{
		{`,"job_id":`, r.JobID}, {`,"tenant":`, r.Tenant}, {`,"kind":`, r.Kind}, {`,"actor":`, r.Actor},
	} {
		text, _ := json.Marshal(f.value) //nolint:errchkjson // a string always can be
		b = append(append(b, f.key...), text...)
	}
	b = strconv.AppendInt(append(b, `,"at":`...), r.At, 10)
	b = append(append(b, `,"data":`...), r.Data...)
	if r.Facts != "" {
		b = append(append(b, `,"facts":`...), r.Facts...)
	}
	return append(b, '}')
}

// Hash returns the leaf's hash.
func (r *Record) Hash() Hash { return tlog.RecordHash(r.Leaf()) }

// leaf is what a Leaf holds, decoded.
type leaf struct {
	Pos    int64             `json:"pos"`
	Seq    int64             `json:"seq"`
	JobID  string            `json:"job_id"`
	Tenant string            `json:"tenant"`
	Kind   string            `json:"kind"`
	Actor  string            `json:"actor"`
	At     int64             `json:"at"`
	Data   json.RawMessage   `json:"data"`
	Facts  map[string]string `json:"facts"`
}
