package tenant

import (
	"maps"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The quotas that a submit is judged by, and the codes of their refusals.
var quotas = map[string]string{codeStorage: "max_storage_gb", codeQueued: "max_queued_jobs"}

const (
	codeQueued  = "HX-QUOTA-001"
	codeStorage = "HX-QUOTA-002"
)

// Quotas lists the quotas that a submit is judged by.
func Quotas() []string { return slices.Sorted(maps.Values(quotas)) }

// Quota returns the quota that refused with an error code; "" if none did.
func Quota(code string) string { return quotas[code] }

// Admit tells how many of n new jobs the account takes while so many wait, and
// why not all. Kinds Exhausted (a quota), Conflict (it is being deleted).
func (a *Account) Admit(n int, waiting int64) (accepted int, refusal error) {
	if a.State != Active {
		return 0, fault.Newf(fault.Conflict, "HX-TENANT-003", "submit as another tenant", "the tenant %s is being deleted and takes no jobs", a.ID)
	}
	if a.MaxStorageBytes > 0 && a.StoredBytes >= a.MaxStorageBytes {
		return 0, fault.Newf(fault.Exhausted, codeStorage, "delete exports, or ask the platform's administrator for a higher max_storage_gb",
			"the tenant %s has stored %d bytes and may store %d (max_storage_gb)", a.ID, a.StoredBytes, a.MaxStorageBytes)
	}
	if a.MaxQueuedJobs == 0 {
		return n, nil
	}
	room := max(0, a.MaxQueuedJobs-waiting)
	if int64(n) <= room {
		return n, nil
	}
	return int(room), fault.Newf(fault.Exhausted, codeQueued, "submit again when jobs have started, or ask the platform's administrator for a higher max_queued_jobs",
		"the tenant %s has %d jobs waiting and may have %d (max_queued_jobs); this request holds %d", a.ID, waiting, a.MaxQueuedJobs, n)
}
