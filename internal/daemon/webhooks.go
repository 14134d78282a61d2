package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/hypersdk/hypersdk/internal/egress"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/store"
)

// WebhookConfig says whom webhooks may call, and how long deliveries are kept.
type WebhookConfig struct {
	// AllowPrivate are networks (CIDR) that are not public and may be called
	// nevertheless: on any port, and without TLS.
	AllowPrivate []string `yaml:"allow_private"`
	// AllowPorts are those of public addresses.
	AllowPorts []int `yaml:"allow_ports"`
	// Keep is how long deliveries are kept that have ended.
	Keep Age `yaml:"keep"`
}

func defaultWebhooks() (c WebhookConfig) {
	for _, p := range egress.DefaultPorts() {
		c.AllowPorts = append(c.AllowPorts, int(p))
	}
	c.Keep = 7 * day
	return c
}

func (c *WebhookConfig) check() (wrong []string) {
	for _, text := range c.AllowPrivate {
		if _, err := netip.ParsePrefix(text); err != nil {
			wrong = append(wrong, fmt.Sprintf("webhooks.allow_private: %q is not of the form 10.0.0.0/8", text))
		}
	}
	for _, p := range c.AllowPorts {
		if p < 1 || p > 65535 {
			wrong = append(wrong, fmt.Sprintf("webhooks.allow_ports: %d is no port", p))
		}
	}
	if c.Keep < Age(time.Hour) {
		wrong = append(wrong, "webhooks.keep: at least 1h")
	}
	return wrong
}

// policy is the one of a configuration that was checked.
func (c *WebhookConfig) policy() (p egress.Policy) {
	for _, text := range c.AllowPrivate {
		if n, err := netip.ParsePrefix(text); err == nil {
			p.Private = append(p.Private, n)
		}
	}
	p.Ports = []uint16{}
	for _, n := range c.AllowPorts {
		p.Ports = append(p.Ports, uint16(n))
	}
	return p
}

// WebhooksConfig is what the webhooks of an engine need.
type WebhooksConfig struct {
	KeyFile string // encrypts stored secrets, made if it is missing; empty: secrets.key in StateDir
	Egress  egress.Policy
	Keep    time.Duration // 0: 7 days
	Hooks   outbox.Hooks
	Off     bool // nobody is told here; the rest of the engine works
}

// sealer reads or makes the key that encrypts stored secrets.
func (c *EngineConfig) sealer() (*seal.Key, error) {
	return seal.Load(cmp.Or(c.Webhooks.KeyFile, filepath.Join(c.StateDir, "secrets.key")))
}

// outbox makes the part that sends.
func (c *EngineConfig) outbox(st *store.Store, node string, key *seal.Key) *outbox.Outbox {
	if c.Webhooks.Off {
		return nil
	}
	return outbox.New(st, outbox.Options{
		Node: node, Key: key, Client: c.Webhooks.Egress.Client(), Agent: agent(), Keep: c.Webhooks.Keep, Hooks: c.Webhooks.Hooks, Log: c.Log,
	})
}
