package webhook

import (
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
)

// KindTest is the kind of a test, which is no event of the log.
const KindTest event.Kind = "webhook.test"

// Message is what an endpoint is told, in the form standard.
type Message struct {
	Type      event.Kind `json:"type"`
	Timestamp time.Time  `json:"timestamp"` // of the event
	Data      Data       `json:"data"`
}

// Data is the event, and what it is about.
type Data struct {
	Seq    int64    `json:"event_seq,omitempty"`
	Tenant string   `json:"tenant"`
	Actor  string   `json:"actor"`
	JobID  string   `json:"job_id,omitempty"`
	Job    *JobInfo `json:"job,omitempty"`

	event.Data
}

// JobInfo is what of a job does not change from event to event, and what it made.
type JobInfo struct {
	Name      string            `json:"name,omitempty"`
	VMPath    string            `json:"vm_path,omitempty"`
	Provider  string            `json:"provider,omitempty"`
	Format    string            `json:"format,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Artifacts []job.Artifact    `json:"artifacts,omitempty"` // of job.completed
}

const maxArtifacts = 100 // that a message lists

// NewMessage makes the message of an event; j is its job, nil if there is none.
// Where the caller called from stays here.
func NewMessage(e event.Event, j *job.Job) Message {
	e.Data.Origin = nil
	m := Message{Type: e.Kind, Timestamp: e.Time.UTC(), Data: Data{Seq: e.Seq, Tenant: e.Tenant, Actor: e.Actor, JobID: e.JobID, Data: e.Data}}
	if j == nil {
		return m
	}
	m.Data.Job = &JobInfo{Name: j.Spec.Name, VMPath: j.Spec.VM(), Provider: j.Spec.Provider, Format: j.Spec.Format, Labels: j.Spec.Labels}
	if e.Kind == event.Completed {
		m.Data.Job.Artifacts = j.Artifacts[:min(len(j.Artifacts), maxArtifacts)]
	}
	return m
}

// TestMessage is what a test sends.
func TestMessage(w Webhook, actor string, now time.Time) Message {
	return Message{Type: KindTest, Timestamp: now.UTC(), Data: Data{Tenant: w.Tenant, Actor: actor, Data: event.Data{
		Subject: w.Subject(), Reason: "a test of the webhook " + w.Spec.Name,
	}}}
}

// Title says in a line what happened.
func (m *Message) Title() string {
	what := strings.NewReplacer(".", " ", "_", " ").Replace(string(m.Type))
	switch d := &m.Data; {
	case d.Step != "":
		what += " (" + d.Step + ")"
	case m.Type == KindTest:
		return d.Reason
	}
	if j := m.Data.Job; j != nil && j.VMPath != "" {
		return what + ": " + j.VMPath
	} else if j != nil && j.Name != "" {
		return what + ": " + j.Name
	}
	if m.Data.Subject != "" {
		return what + ": " + m.Data.Subject
	}
	return what
}

// Facts are what a person wants to know besides.
func (m *Message) Facts() (facts [][2]string) {
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, [2]string{name, value})
		}
	}
	d := &m.Data
	add("Job", d.JobID)
	if d.Job != nil {
		add("Name", d.Job.Name)
		add("Format", d.Job.Format)
		if n := len(d.Job.Artifacts); n > 0 {
			add("Files", strconv.Itoa(n))
		}
	}
	if d.Error != nil {
		add("Error", strings.TrimSpace(d.Error.Code+" "+d.Error.Message))
	}
	if m.Type != KindTest {
		add("Reason", d.Reason)
	}
	add("Tenant", d.Tenant)
	add("By", d.Actor)
	return facts
}
