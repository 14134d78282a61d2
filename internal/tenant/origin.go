package tenant

// Origin tells where a call came from. It goes with the principal, and into the
// events of what the call changes.
type Origin struct {
	IP          string `json:"ip,omitempty" doc:"The client's address"`
	Door        string `json:"door,omitempty" doc:"rest, graphql, grpc or ws"`
	RequestID   string `json:"request_id,omitempty" doc:"As the log and the answer have it"`
	TraceParent string `json:"traceparent,omitempty" doc:"W3C Trace Context"`
}

// From returns the principal as it calls from o.
func (p Principal) From(o Origin) Principal {
	p.origin = o
	return p
}

// Origin tells where the principal calls from.
func (p Principal) Origin() Origin { return p.origin }

// Origin tells where the principal that acts calls from.
func (s Scope) Origin() Origin { return s.origin }

// Origin tells where the principal that acts calls from.
func (s PlatformScope) Origin() Origin { return s.origin }
