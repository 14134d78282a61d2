package client

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
)

const (
	headerKey    = "Idempotency-Key"
	codeInFlight = "HX-IDEM-001" // an earlier attempt is still at work
)

// Keyed returns the client for calls under an idempotency key of the caller's (1 to
// 250 visible ASCII characters): whoever makes the same calls again in the same
// order under the same key within 24 hours, even from another process, gets the
// first answers, and nothing is done twice. The first call that changes anything has
// the key itself, those that follow have KEY.2, KEY.3 and so on. Empty: each call has
// a key by chance, which holds for its own attempts.
func (c *Client) Keyed(key string) *Client {
	keyed := *c
	if keyed.keyed = nil; key != "" {
		keyed.keyed = &keys{key: key}
	}
	return &keyed
}

// keys are those of one Keyed client.
type keys struct {
	key   string
	calls atomic.Int64
}

// next is the key of the next call.
func (k *keys) next() string {
	if k == nil {
		return rand.Text()
	}
	if n := k.calls.Add(1); n > 1 {
		return k.key + "." + strconv.FormatInt(n, 10)
	}
	return k.key
}
