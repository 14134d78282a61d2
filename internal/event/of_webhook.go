package event

import "time"

// Deliveries is touched whenever a webhook may have something to send.
const Deliveries Topic = "deliveries"

// OfWebhook makes the event of a change of a webhook: created, changed, deleted,
// enabled, disabled, rotated, tested, resent, replayed, breaker_opened or
// breaker_closed. why must hold neither its URL nor a secret.
func OfWebhook(tenant, id, what, why, actor string, at time.Time) Event {
	return Event{
		Tenant: tenant, Kind: Kind("webhook." + what), Actor: actor, Time: at.UTC(),
		Data: Data{Subject: "webhook:" + id, Reason: why},
	}
}
