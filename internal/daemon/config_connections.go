package daemon

import (
	"context"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/gate"
)

// ConnectionsConfig bounds the connections of the API.
type ConnectionsConfig struct {
	Max          int `yaml:"max"`            // open at once; at most half of the files that the process may open
	MaxPerClient int `yaml:"max_per_client"` // of one address (IPv6: one /64) that is no trusted proxy
	MaxStreams   int `yaml:"max_streams"`    // requests at once on one connection of HTTP/2
}

// defaultConnections leave a client room for all the streams that it may have.
func defaultConnections() ConnectionsConfig {
	return ConnectionsConfig{Max: 4096, MaxPerClient: 512, MaxStreams: 128}
}

// reserved are the connections that are kept for security.probe_networks.
const reserved = 64

func (c ConnectionsConfig) check() (wrong []string) {
	if c.Max < 1 || c.Max > 1_000_000 {
		wrong = append(wrong, "security.connections.max: 1 to 1000000")
	}
	if c.MaxPerClient < 1 || c.MaxPerClient > c.Max {
		wrong = append(wrong, "security.connections.max_per_client: 1 to max")
	}
	if c.MaxStreams < 1 || c.MaxStreams > 1000 {
		wrong = append(wrong, "security.connections.max_streams: 1 to 1000")
	}
	return wrong
}

// connections makes the count. A process that runs out of files can neither accept
// nor read its database: the rest of them is for that.
func (s SecurityConfig) connections(ctx context.Context, log *slog.Logger) *gate.Connections {
	total := s.Connections.Max
	if files := openFiles(); files > 0 && total > files/2 {
		total = max(1, files/2)
		log.WarnContext(ctx, "fewer connections than configured", "max", total, "configured", s.Connections.Max, "open_files", files,
			"fix", "raise LimitNOFILE= of the unit (ulimit -n), or lower security.connections.max")
	}
	return gate.NewConnections(gate.ConnectionLimits{
		Total: total, PerClient: s.Connections.MaxPerClient, Proxies: s.proxies(), Watch: networks(s.ProbeNetworks), Reserve: reserved,
	})
}

// openFiles is how many files the process may open; 0: as many as it likes.
func openFiles() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur == unix.RLIM_INFINITY {
		return 0
	}
	return int(min(l.Cur, 1<<30))
}
