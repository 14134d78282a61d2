package tenant

import (
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// State of a tenant.
type State string

// The states. A deleted tenant is only remembered: its id is not given again,
// because its jobs and its usage stay under it.
const (
	Active   State = "active"
	Draining State = "draining" // takes no jobs and is deleted when none is left
	Deleted  State = "deleted"
)

// Account is a tenant as the store keeps it.
type Account struct {
	ID     ID
	Name   string
	State  State
	Paused bool // nothing of it is started
	Limits
	StoredBytes int64 // artifacts that it has stored
	CreatedAt   time.Time
}

// Limits are a tenant's quotas; 0 means none. Weight is its share of the workers
// against other tenants.
type Limits struct {
	Weight            int
	MaxConcurrentJobs int64
	MaxQueuedJobs     int64
	MaxStorageBytes   int64
	MaxBandwidthBytes int64 // per second
}

// The largest limits. MaxQueued bounds what a submit costs: it counts.
const (
	MaxWeight     = 1000
	MaxConcurrent = 100_000
	MaxQueued     = 100_000
	MaxBytes      = 1 << 60
)

var (
	idForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	nameForm = regexp.MustCompile(`^[^\pC]{1,100}$`)
)

// Validate checks what a platform admin may set. Kind Unprocessable.
func (a *Account) Validate() error {
	switch l := a.Limits; {
	case !idForm.MatchString(string(a.ID)):
		return refuse("id", "is not 1 to 63 lower-case letters, digits and hyphens, with no hyphen in front")
	case !nameForm.MatchString(a.Name) || !utf8.ValidString(a.Name):
		return refuse("name", "is not 1 to 100 printable characters")
	case l.Weight < 1 || l.Weight > MaxWeight:
		return refuse("weight", "is not between 1 and 1000")
	case l.MaxConcurrentJobs < 0 || l.MaxConcurrentJobs > MaxConcurrent:
		return refuse("max_concurrent_jobs", "is not between 0 (no limit) and 100000")
	case l.MaxQueuedJobs < 0 || l.MaxQueuedJobs > MaxQueued:
		return refuse("max_queued_jobs", "is not between 0 (no limit) and 100000")
	case l.MaxStorageBytes < 0 || l.MaxStorageBytes > MaxBytes:
		return refuse("max_storage_gb", "is negative or too large")
	case l.MaxBandwidthBytes < 0 || l.MaxBandwidthBytes > MaxBytes:
		return refuse("max_bandwidth_mbps", "is negative or too large")
	case a.StoredBytes < 0 || a.StoredBytes > MaxBytes:
		return refuse("stored_bytes", "is negative or too large")
	}
	return nil
}

func refuse(field, why string) error {
	return fault.New(fault.Unprocessable, "HX-TENANT-002", "the tenant's "+field+" "+why, "correct it")
}
