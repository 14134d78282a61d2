package event

import "time"

// OfSchedule makes the event of a change of a schedule: created, changed, paused,
// resumed or deleted. Its runs show in the events of the jobs that they submit.
func OfSchedule(tenant, id, name, what, actor string, at time.Time) Event {
	return Event{
		Tenant: tenant, Kind: Kind("schedule." + what), Actor: actor, Time: at.UTC(),
		Data: Data{Subject: "schedule:" + id, Reason: name},
	}
}
