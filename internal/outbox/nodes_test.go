package outbox_test

import (
	"testing"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// TestTwoNodes: on one PostgreSQL they share the work and send nothing twice; one
// with another key leaves it alone.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	url := store.PostgresOptions{URL: secret.New(pgtest.Database(t))}
	a, b, c := newWorld(t, store.Options{Postgres: url}), newWorld(t, store.Options{Postgres: url}), newWorld(t, store.Options{Postgres: url})
	a.node, b.node, c.node = "a", "b", "c"
	var err error
	c.key, err = seal.New([]byte("01234567890123456789012345678901"))
	a.must(err)
	c.svc = service.New(c.store, service.Deps{Validator: anything{}, Feed: c.store, Seal: c.key})
	one, two, strange := &receiver{}, &receiver{}, &receiver{}
	events := []string{"job.*"}
	a.create(webhook.Definition{Name: "one", URL: a.serve(one), Events: events})
	b.create(webhook.Definition{Name: "two", URL: a.serve(two), Events: events})
	c.create(webhook.Definition{Name: "strange", URL: a.serve(strange), Events: events})
	for _, w := range []*world{a, b} {
		defer w.run(loopback())()
	}
	for range 10 {
		a.cancel(job.Spec{VMPath: "/a"})
		b.cancel(job.Spec{VMPath: "/b"})
	}
	a.eventually("all deliveries", func() bool {
		return len(a.deliveries("one", webhook.Delivered)) == 40 && len(b.deliveries("two", webhook.Delivered)) == 40
	})
	if one.count() != 40 || two.count() != 40 || strange.count() != 0 {
		t.Errorf("%d, %d and %d requests", one.count(), two.count(), strange.count())
	}
	if h, err := a.svc.Webhook(t.Context(), a.us, "strange"); err != nil || h.Problem == "" || h.Pending != 40 {
		t.Errorf("%+v %v", h, err)
	}
	defer c.run(loopback())()
	a.eventually("the node with the key", func() bool { return strange.count() == 40 })
}
