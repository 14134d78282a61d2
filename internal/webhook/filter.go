package webhook

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"path"
	"strconv"
	"strings"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
)

// WantsKind tells whether events of a kind are wanted. Those about webhooks are
// only if a pattern says so: a wild card for everything does not mean the
// deliveries themselves.
func (d Definition) WantsKind(kind event.Kind) bool {
	for _, p := range d.Events {
		if strings.HasPrefix(string(kind), "webhook.") && !strings.HasPrefix(p, "webhook.") {
			continue
		}
		if ok, err := path.Match(p, string(kind)); ok && err == nil {
			return true
		}
	}
	return false
}

// WantsJob tells whether the events of a job are wanted; nil is no job.
func (d Definition) WantsJob(s *job.Spec) bool {
	if len(d.VMs) == 0 && len(d.Labels) == 0 {
		return true
	}
	if s == nil {
		return false
	}
	for k, v := range d.Labels {
		if got, ok := s.Labels[k]; !ok || got != v {
			return false
		}
	}
	return len(d.VMs) == 0 || d.wantsVM(s.VM())
}

func (d Definition) wantsVM(vmPath string) bool {
	for _, p := range d.VMs {
		name := vmPath
		if !strings.Contains(p, "/") {
			name = path.Base(vmPath)
		}
		if ok, err := path.Match(strings.ToLower(p), strings.ToLower(name)); ok && err == nil {
			return true
		}
	}
	return false
}

// Subject names the webhook in events about it.
func (w *Webhook) Subject() string { return "webhook:" + w.ID }

// Wants tells whether the webhook is for an event of its tenant, by what is known
// without the job. None hears of itself: that would never end.
func (w *Webhook) Wants(e event.Event) bool {
	return e.Data.Subject != w.Subject() && w.Spec.WantsKind(e.Kind)
}

var idText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// DeliveryID is the webhook-id of an event for a webhook: always the same, so that
// a receiver knows again what it has had.
func DeliveryID(webhookID string, seq int64) string {
	sum := sha256.Sum256([]byte(webhookID + "\x00" + strconv.FormatInt(seq, 10)))
	return "msg_" + idText.EncodeToString(sum[:16])
}

// TestID is the webhook-id of a test.
func TestID() string { return "msg_" + strings.ToLower(rand.Text()) }
