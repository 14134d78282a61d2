package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"iter"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Line is one place of an exported log. An export is a file of such lines.
type Line struct {
	Pos        int64  `json:"pos" doc:"Place in the log, from 1"`
	Hash       Hash   `json:"hash" doc:"Of the leaf, as RFC 9162 says: SHA-256 of a zero byte and the leaf"`
	Leaf       string `json:"leaf,omitempty" doc:"The entry, exactly as it is hashed; absent if retention removed it, or if it is hidden"`
	Hidden     bool   `json:"hidden,omitempty" doc:"It is another tenant's"`
	Checkpoint string `json:"checkpoint,omitempty" doc:"What was signed when this was the last entry"`
}

// maxLine is more than the daemon takes in with one request.
const maxLine = 8 << 20

// ReadLines reads an export. An error ends it.
func ReadLines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		for n := 1; lines.Scan(); n++ {
			if len(lines.Bytes()) == 0 {
				continue
			}
			var l Line
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Pos < 0 {
				yield(l, fault.Newf(fault.Corrupt, "HX-AUDIT-005", "export the log again, and compare", "line %d of the export is no line of an audit log", n))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fault.New(fault.Corrupt, "HX-AUDIT-005", "a line of the export is too long", "export the log again, and compare")
			}
			yield(Line{}, err)
		}
	}
}
