package job

import (
	"encoding/json"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/limit"
)

// Bandwidth is a rate as a user writes it: "50MB", or a number of bytes per
// second, which is kept as a text. Empty: not given.
type Bandwidth string

// UnmarshalJSON takes a text or a number.
func (b *Bandwidth) UnmarshalJSON(text []byte) error {
	var number json.Number
	if err := json.Unmarshal(text, &number); err == nil && text[0] != '"' {
		*b = Bandwidth(number)
		return nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fault.Wrap(err, fault.Invalid, "HX-LIMIT-010", "bandwidth_limit is neither a text nor a number", `say "50MB"`)
	}
	*b = Bandwidth(s)
	return nil
}

// Bandwidth returns how fast the job may read from its source.
func (s Spec) Bandwidth() (limit.Plan, error) {
	return limit.ParsePlan(string(s.BandwidthLimit), s.BandwidthWindows)
}
