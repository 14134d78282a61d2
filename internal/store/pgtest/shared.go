package pgtest

import (
	"context"
	"sync"
	"testing"
)

var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Database makes an empty database on the server that the tests of one binary
// share, and returns its URL. A missing server fails the test. TestMain must call
// Stop at the end.
func Database(tb testing.TB) string {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(context.WithoutCancel(tb.Context()))
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server.URL(tb)
}

// Stop ends the shared server, if there is one.
func Stop() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return nil
	}
	return shared.server.Stop()
}
