package event

import (
	"maps"
	"slices"
	"sync"
)

// Hub wakes those who wait for a topic, within this process. The zero value is
// ready. It never blocks and keeps no history: a token says "look again".
type Hub struct {
	mu       sync.Mutex
	watchers map[Topic]map[chan struct{}]struct{}
}

// Watch returns a channel that gets a token after each Touch of the topic;
// tokens that nobody took yet coalesce. stop ends it and may be called twice.
func (h *Hub) Watch(topic Topic) (wake <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[Topic]map[chan struct{}]struct{})
	}
	if h.watchers[topic] == nil {
		h.watchers[topic] = make(map[chan struct{}]struct{})
	}
	h.watchers[topic][ch] = struct{}{}
	return ch, func() { h.drop(topic, ch) }
}

func (h *Hub) drop(topic Topic, ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[topic], ch)
	if len(h.watchers[topic]) == 0 {
		delete(h.watchers, topic)
	}
}

// Touch wakes the watchers of the topics.
func (h *Hub) Touch(topics ...Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		for ch := range h.watchers[t] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

// TouchAll wakes all watchers: something may have been missed.
func (h *Hub) TouchAll() {
	h.mu.Lock()
	topics := slices.Collect(maps.Keys(h.watchers))
	h.mu.Unlock()
	h.Touch(topics...)
}
