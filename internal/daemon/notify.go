package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
)

// States of a service that systemd is told of, if it wants to know (Type=notify).
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notify tells systemd. Nobody else waits for it: a failure is logged.
func notify(ctx context.Context, log *slog.Logger, state string) {
	path := os.Getenv("NOTIFY_SOCKET") // @ begins an abstract one, as in package net
	if path == "" {
		return
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", path)
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close() // it is sent
	}
	if err != nil {
		log.WarnContext(ctx, "systemd was not told", "state", state, "error", err)
	}
}
