package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
)

const removalKind = string(event.RetentionRemoved)

// Entry is an event as an auditor reads it.
type Entry struct {
	Pos       int64          `json:"pos" doc:"Place in the log"`
	ID        int64          `json:"id" doc:"The event's seq"`
	Timestamp time.Time      `json:"timestamp"`
	Event     string         `json:"event" doc:"What happened" example:"job.submitted"`
	Tenant    string         `json:"tenant,omitempty" doc:"Absent for an attempt of somebody unknown"`
	Actor     Actor          `json:"actor"`
	Resource  Resource       `json:"resource"`
	Action    string         `json:"action" doc:"create, update, delete, run or access" example:"create"`
	Result    string         `json:"result" doc:"success, failure or denied" example:"success"`
	RequestID string         `json:"request_id,omitempty" doc:"As the log and the answer have it"`
	TraceID   string         `json:"trace_id,omitempty" doc:"W3C Trace Context"`
	Metadata  map[string]any `json:"metadata" doc:"The rest"`
}

// Actor is who did it.
type Actor struct {
	Type string `json:"type" doc:"user (a person, a key or a certificate), node, system or anonymous"`
	ID   string `json:"id"`
	IP   string `json:"ip,omitempty"`
}

// Resource is what it was done to.
type Resource struct {
	Type string `json:"type" example:"job"`
	ID   string `json:"id"`
	VM   string `json:"vm,omitempty"`
}

// Entry reads the record. Texts that are no JSON (somebody changed them) leave
// their part empty.
func (r *Record) Entry() Entry {
	var (
		data  event.Data
		facts event.Facts
	)
	_ = json.Unmarshal([]byte(r.Data), &data)
	if r.Facts != "" {
		_ = json.Unmarshal([]byte(r.Facts), &facts)
	}
	e := Entry{
		Pos: r.Pos, ID: r.Seq, Timestamp: time.UnixMicro(r.At).UTC(), Event: r.Kind, Tenant: r.Tenant,
		Actor: actorOf(r.Actor), Resource: resourceOf(r, &data), Metadata: metadata(&data, facts),
	}
	e.Resource.VM = facts[event.FactVM]
	e.Action, e.Result = verdict(r.Kind)
	if o := data.Origin; o != nil {
		e.Actor.IP, e.RequestID = o.IP, o.RequestID
		if parts := strings.Split(o.TraceParent, "-"); len(parts) == 4 {
			e.TraceID = parts[1]
		}
		if o.Door != "" {
			e.Metadata["door"] = o.Door
		}
	}
	return e
}

func actorOf(name string) Actor {
	switch kind, _, _ := strings.Cut(name, ":"); {
	case name == event.Anonymous:
		return Actor{Type: event.Anonymous, ID: name}
	case kind == "node":
		return Actor{Type: "node", ID: name}
	case name == "system", name == "retention", kind == "schedule":
		return Actor{Type: "system", ID: name}
	}
	return Actor{Type: "user", ID: name}
}

func resourceOf(r *Record, d *event.Data) Resource {
	if r.JobID != "" {
		return Resource{Type: "job", ID: r.JobID}
	}
	kind, id, found := strings.Cut(d.Subject, ":")
	if !found {
		return Resource{Type: cmp.Or(kind, "log"), ID: cmp.Or(kind, "log")}
	}
	return Resource{Type: kind, ID: id}
}

// Results are how an act can end.
func Results() []string { return []string{"success", "failure", "denied"} }

// ResultOf tells how the act of an event ended.
func ResultOf(kind string) string {
	_, result := verdict(kind)
	return result
}

// verdict tells what kind of act an event is, and how it ended.
func verdict(kind string) (action, result string) {
	_, verb, _ := strings.Cut(kind, ".")
	switch {
	case kind == string(event.AccessDenied):
		return "access", "denied"
	case verb == "failed":
		return "run", "failure"
	case verb == "submitted", verb == "created":
		return "create", "success"
	case verb == "deleted", verb == "removed", verb == "artifacts_removed", verb == "revoked":
		return "delete", "success"
	case strings.HasPrefix(kind, "step."), verb == "started", verb == "completed", verb == "retrying", verb == "interrupted":
		return "run", "success"
	}
	return "update", "success"
}

func metadata(d *event.Data, facts event.Facts) map[string]any {
	m := map[string]any{}
	set := func(key, value string) {
		if value != "" {
			m[key] = value
		}
	}
	set("status", string(d.State))
	set("from", string(d.From))
	set("step", d.Step)
	set("node", d.Node)
	set("reason", d.Reason)
	set("priority", string(d.Priority))
	if d.Attempt > 0 {
		m["attempt"] = d.Attempt
	}
	if d.NotBefore != nil {
		m["not_before"] = d.NotBefore
	}
	if d.Error != nil {
		set("error", fmt.Sprintf("%s %s", d.Error.Code, d.Error.Message))
	}
	for k, v := range facts {
		if k != event.FactVM {
			m[k] = v
		}
	}
	return m
}
