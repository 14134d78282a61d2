package tenant

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Month is a calendar month in UTC as YYYY-MM.
type Month string

const monthForm = "2006-01"

// MonthOf returns the month of a time.
func MonthOf(t time.Time) Month { return Month(t.UTC().Format(monthForm)) }

// Validate tells whether m is a month. Kind Invalid.
func (m Month) Validate() error {
	if t, err := time.Parse(monthForm, string(m)); err != nil || MonthOf(t) != m {
		return fault.Newf(fault.Invalid, "HX-TENANT-004", "write it as 2026-01", "%.20q is no month", string(m))
	}
	return nil
}

// Usage is what a tenant used in one month: its jobs that ended in it, and the
// runs that did.
type Usage struct {
	Month            Month   `json:"month" example:"2026-01" doc:"Calendar month in UTC"`
	Completed        int64   `json:"jobs_completed"`
	Failed           int64   `json:"jobs_failed"`
	Cancelled        int64   `json:"jobs_cancelled"`
	BytesRead        int64   `json:"bytes_read" doc:"Of the disks, as large as the guest sees them"`
	BytesTransferred int64   `json:"bytes_transferred" doc:"Read from the source over the wire"`
	BytesStored      int64   `json:"bytes_stored" doc:"Artifacts of completed jobs"`
	Seconds          float64 `json:"seconds" doc:"Time that workers spent"`
}
