package webhook

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Format is the form of what is posted.
type Format string

// The formats.
const (
	Standard    Format = "standard"    // Standard Webhooks: type, timestamp, data
	CloudEvents Format = "cloudevents" // CloudEvents 1.0, structured
	Slack       Format = "slack"
	Teams       Format = "teams"    // an adaptive card, as the workflows of Teams take it
	Template    Format = "template" // the user's own
)

// Formats lists the formats.
func Formats() []Format { return []Format{Standard, CloudEvents, Slack, Teams, Template} }

// maxPayload bounds what is posted.
const maxPayload = 256 << 10

// maxText bounds a text for people: Slack refuses longer ones.
const maxText = 2000

// Render makes what is posted. Kind Unprocessable: a template makes no JSON of it,
// or it is too long.
func (d Definition) Render(id string, m Message) (body, contentType string, err error) {
	contentType = "application/json"
	var v any = m
	switch d.Format {
	case Slack:
		v = slack(&m)
	case Teams:
		v = teams(&m)
	case CloudEvents:
		v, contentType = cloudEvent(id, &m), "application/cloudevents+json"
	case Template:
		text, err := execute(d.Template, m)
		return text, contentType, err
	case Standard:
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "", "", fmt.Errorf("encode a message: %w", err)
	}
	if len(text) > maxPayload {
		return "", "", tooLong()
	}
	return string(text), contentType, nil
}

func tooLong() error {
	return fault.Newf(fault.Unprocessable, "HX-HOOK-021", "send less", "the message is longer than %d bytes", maxPayload)
}

// escapeSlack keeps a text from becoming a link or a mention.
var escapeSlack = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slack(m *Message) any {
	var b strings.Builder
	b.WriteString("*" + escapeSlack.Replace(m.Title()) + "*")
	for _, f := range m.Facts() {
		b.WriteString("\n" + f[0] + ": " + escapeSlack.Replace(f[1]))
	}
	return map[string]string{"text": clip(b.String())}
}

func teams(m *Message) any {
	type object = map[string]any
	facts := []object{}
	for _, f := range m.Facts() {
		facts = append(facts, object{"title": f[0], "value": clip(f[1])})
	}
	card := object{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": []object{
			{"type": "TextBlock", "text": clip(m.Title()), "weight": "Bolder", "size": "Medium", "wrap": true},
			{"type": "FactSet", "facts": facts},
		},
	}
	return object{"type": "message", "attachments": []object{{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}}
}

func cloudEvent(id string, m *Message) any {
	subject := m.Data.JobID
	if subject == "" {
		subject = m.Data.Subject
	}
	return struct {
		SpecVersion     string `json:"specversion"`
		ID              string `json:"id"`
		Source          string `json:"source"`
		Type            string `json:"type"`
		Subject         string `json:"subject,omitempty"`
		Time            any    `json:"time"`
		DataContentType string `json:"datacontenttype"`
		Data            Data   `json:"data"`
	}{"1.0", id, "/hypervisord/tenants/" + m.Data.Tenant, "io.hypersdk." + string(m.Type), subject, m.Timestamp, "application/json", m.Data}
}

// clip shortens a text by whole characters.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}
