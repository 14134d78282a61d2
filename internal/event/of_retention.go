package event

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// The kinds of retention.
const (
	ArtifactsRemoved Kind = "job.artifacts_removed"
	RetentionRemoved Kind = "retention.removed"
)

// OfArtifactsRemoved makes the event of the end of a completed job's artifacts.
func OfArtifactsRemoved(j job.Job, actor, reason string, at time.Time) Event {
	return Event{
		JobID: j.ID, Tenant: j.Tenant, Kind: ArtifactsRemoved, Actor: actor, Time: at.UTC(),
		Data: Data{State: j.State, Attempt: j.Attempt, Node: j.Node, Reason: reason},
	}
}

// OfRetention makes the event that stands for the jobs that were forgotten and
// for their events.
func OfRetention(tenant, actor, what string, at time.Time) Event {
	return Event{
		Tenant: tenant, Kind: RetentionRemoved, Actor: actor, Time: at.UTC(),
		Data: Data{Subject: "jobs", Reason: what},
	}
}
