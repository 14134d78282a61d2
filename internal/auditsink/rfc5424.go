package auditsink

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hypersdk/hypersdk/internal/audit"
)

// Forms of a syslog message.
const (
	FormJSON       = "json"       // the message is the entry as JSON, in ASCII
	FormStructured = "structured" // the entry is structured data, and the message a sentence
)

// The severities of syslog.
const (
	severityWarning = 4
	severityNotice  = 5
)

// sdID names our structured data. 32473 is the number that RFC 5612 sets aside for
// whoever has none.
const sdID = "hypervisord@32473"

// header is what all messages of a sink share.
type header struct {
	facility int
	host     string
	pid      int
	form     string
	limit    int // bytes of a message; 0: any
}

// message writes an entry as RFC 5424 wants it. One that is too long is sent without
// its metadata.
func (h *header) message(e audit.Entry, hash audit.Hash) ([]byte, error) {
	text, err := h.write(e, hash)
	if err != nil || h.limit == 0 || len(text) <= h.limit {
		return text, err
	}
	e.Metadata = map[string]any{"truncated": true}
	return h.write(e, hash)
}

func (h *header) write(e audit.Entry, hash audit.Hash) ([]byte, error) {
	severity := severityNotice
	if e.Result != "success" {
		severity = severityWarning
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s hypervisord %d %s ", h.facility*8+severity, e.Timestamp.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
		printable(h.host, 255), h.pid, printable(e.Event, 32))
	if h.form == FormStructured {
		h.structured(&b, e, hash)
		return []byte(b.String()), nil
	}
	text, err := json.Marshal(fileLine{e, hash})
	if err != nil {
		return nil, err
	}
	b.WriteString("- ")
	ascii(&b, string(text))
	return []byte(b.String()), nil
}

// structured writes the entry as parameters, and a sentence behind them.
func (h *header) structured(b *strings.Builder, e audit.Entry, hash audit.Hash) {
	b.WriteString("[" + sdID)
	for _, p := range [...][2]string{
		{"pos", strconv.FormatInt(e.Pos, 10)}, {"hash", hash.String()}, {"event", e.Event}, {"tenant", e.Tenant},
		{"actor_type", e.Actor.Type}, {"actor", e.Actor.ID}, {"ip", e.Actor.IP},
		{"resource_type", e.Resource.Type}, {"resource", e.Resource.ID}, {"vm", e.Resource.VM},
		{"action", e.Action}, {"result", e.Result}, {"request_id", e.RequestID}, {"trace_id", e.TraceID},
	} {
		param(b, p[0], p[1])
	}
	if len(e.Metadata) > 0 {
		text, _ := json.Marshal(e.Metadata) //nolint:errchkjson // texts, numbers and times
		param(b, "metadata", string(text))
	}
	b.WriteString("] ")
	ascii(b, fmt.Sprintf("%s: %s by %s on %s %s", e.Event, e.Result, e.Actor.ID, e.Resource.Type, e.Resource.ID))
}

// param writes a parameter of structured data; an empty one not.
func param(b *strings.Builder, name, value string) {
	if value == "" {
		return
	}
	b.WriteString(" " + name + `="`)
	for _, r := range strings.ToValidUTF8(value, "\ufffd") {
		switch {
		case r == '"' || r == '\\' || r == ']':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ') // allowed, but receivers stumble over it
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// ascii writes a text so that it is one line in whatever charset somebody reads it:
// in JSON an escape is the same character.
func ascii(b *strings.Builder, s string) {
	for _, r := range s {
		switch {
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
}

// printable keeps what a field of the header may hold; "-" stands for nothing.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
