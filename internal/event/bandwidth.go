package event

import (
	"cmp"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// BandwidthChanged tells that somebody changed a job's limit. The job's state
// stays.
const BandwidthChanged Kind = "job.bandwidth_changed"

// OfBandwidth makes the event of a changed limit: j is the job after it.
func OfBandwidth(j job.Job, actor string, at time.Time) Event {
	limits := append([]string{cmp.Or(string(j.Spec.BandwidthLimit), "unlimited")}, j.Spec.BandwidthWindows...)
	return Event{
		JobID: j.ID, Tenant: j.Tenant, Kind: BandwidthChanged, Actor: actor, Time: at.UTC(),
		Data: Data{State: j.State, Attempt: j.Attempt, Node: j.Node, Reason: "bandwidth_limit " + strings.Join(limits, "; ")},
	}
}
