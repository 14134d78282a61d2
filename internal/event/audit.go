package event

import (
	"strconv"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Facts are what the audit knows of an event besides its data, by name.
type Facts map[string]string

// The names of facts.
const (
	FactVM         = "vm"
	FactFormat     = "format"
	FactCode       = "code"       // of a refusal
	FactCount      = "count"      // attempts that one entry stands for
	FactCredential = "credential" // a keyed hash of what was presented
	FactRemoved    = "removed"    // places in the log, as 3-7,12
)

// AccessDenied tells of attempts that were refused.
const AccessDenied Kind = "access.denied"

// Anonymous is the actor that nobody could name.
const Anonymous = "anonymous"

func factsOfJob(j job.Job) Facts {
	f := Facts{}
	if vm := j.Spec.VM(); vm != "" {
		f[FactVM] = vm
	}
	if j.Spec.Format != "" {
		f[FactFormat] = j.Spec.Format
	}
	return f
}

// Refusal is a refused attempt, or several that are alike.
type Refusal struct {
	Tenant     tenant.ID // empty: nobody knows who it was
	Actor      string
	Operation  string
	Code       string
	Reason     string
	Credential string // a keyed hash, for one that nobody knows
	Origin     tenant.Origin
	Count      int64
	Time       time.Time // of the last
}

// OfRefusal makes the event of refused attempts.
func OfRefusal(r *Refusal) Event {
	f := Facts{FactCode: r.Code, FactCount: strconv.FormatInt(r.Count, 10)}
	if r.Credential != "" {
		f[FactCredential] = r.Credential
	}
	return Event{
		Tenant: string(r.Tenant), Kind: AccessDenied, Actor: r.Actor, Time: r.Time.UTC(), Facts: f,
		Data: Data{Subject: "operation:" + r.Operation, Reason: r.Reason, Origin: &r.Origin},
	}
}

// OfProfile makes the event of a change of a profile: put or deleted.
func OfProfile(tenantID, id, what, actor string, at time.Time) Event {
	return Event{
		Tenant: tenantID, Kind: Kind("profile." + what), Actor: actor, Time: at.UTC(), Data: Data{Subject: "profile:" + id},
	}
}
