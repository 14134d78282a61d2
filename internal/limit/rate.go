// Package limit bounds how many bytes pass in a second: rates and the windows of
// the week in which they hold, and token buckets that stand one above the other
// (job, tenant, global).
package limit

import (
	"math"
	"strconv"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Rate is bytes per second; 0 is no limit.
type Rate int64

// Bounds of a limit. Below the least a transfer stands still for whoever watches
// it, the lease of an NFC stream included.
const (
	minRate = 1000
	maxRate = 1 << 50
)

// units are tried longest first.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

// ParseRate reads a rate: "50MB" (decimal), "50MiB", a plain number of bytes, each
// with "/s" if wanted; "unlimited" and 0 are no limit. Kind Unprocessable.
func ParseRate(text string) (Rate, error) {
	s := strings.TrimSuffix(strings.TrimSpace(text), "/s")
	if s == "unlimited" {
		return 0, nil
	}
	for _, u := range units {
		number, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		number = strings.TrimSuffix(number, " ")
		if number == "" || strings.Trim(number, "0123456789") != "" {
			break
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > math.MaxInt64/u.bytes || n*u.bytes > maxRate {
			return 0, fault.Newf(fault.Unprocessable, "HX-LIMIT-002", `leave it out, or say "unlimited"`,
				"the rate %.50q is more than a petabyte per second", text)
		}
		if n *= u.bytes; n != 0 && n < minRate {
			return 0, fault.Newf(fault.Unprocessable, "HX-LIMIT-003", "0 is no limit; to stop a job, cancel it",
				"the rate %.50q is less than 1KB per second", text)
		}
		return Rate(n), nil
	}
	return 0, fault.Newf(fault.Unprocessable, "HX-LIMIT-001", `say 50MB, 50MiB, a number of bytes per second, or "unlimited"`,
		"%.50q is no rate in bytes per second", text)
}

// String returns the shortest form that ParseRate reads.
func (r Rate) String() string {
	if r == 0 {
		return "unlimited"
	}
	best := strconv.FormatInt(int64(r), 10)
	for _, u := range units {
		if u.bytes == 1 || int64(r)%u.bytes != 0 || u.name == "kB" {
			continue
		}
		if s := strconv.FormatInt(int64(r)/u.bytes, 10) + u.name; len(s) < len(best) {
			best = s
		}
	}
	return best
}
