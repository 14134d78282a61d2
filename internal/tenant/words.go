package tenant

import "log/slog"

// Words are what log lines say of the caller.
func (p Principal) Words() []slog.Attr {
	return []slog.Attr{slog.String("tenant", string(p.tenant)), slog.String("actor", p.name)}
}
