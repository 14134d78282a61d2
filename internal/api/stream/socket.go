package stream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Limits of a WebSocket.
const (
	WriteTime = 10 * time.Second // for one message: a reader that takes longer is dropped
	pingEvery = 20 * time.Second
	pingTime  = 10 * time.Second // for the answer to a ping
	maxFrame  = 1 << 20          // bytes of a message from the client
)

// Socket is an open WebSocket that carries JSON. One goroutine may read, any may
// write.
type Socket struct{ conn *websocket.Conn }

// SameOrigin tells whether a request that opens a WebSocket may come from the page
// that it comes from: browsers send cookies along, and ask nobody. Programs send
// no Origin. Kind Denied.
func SameOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return fault.New(fault.Denied, "HX-STREAM-002", "a page of another origin may not open a WebSocket here", "connect from your own program")
	}
	return nil
}

// Upgrades tells whether the request wants a WebSocket.
func Upgrades(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// Open answers the request with a WebSocket. The caller has checked SameOrigin and
// must Close the Socket. On an error the answer is written.
func Open(w http.ResponseWriter, r *http.Request, subprotocols ...string) (*Socket, error) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: subprotocols, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled, // SameOrigin is checked
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	return &Socket{conn: conn}, nil
}

// Subprotocol is the one that was agreed on, or "".
func (s *Socket) Subprotocol() string { return s.conn.Subprotocol() }

// Read reads one message into v; Close ends it. Kind Invalid for a message that is
// no JSON of the form; any other error means that the connection is gone.
func (s *Socket) Read(ctx context.Context, v any) error {
	kind, text, err := s.conn.Read(context.WithoutCancel(ctx)) // else a ctx that ends would cut the close frame off
	if err != nil {
		return err
	}
	if kind != websocket.MessageText || json.Unmarshal(text, v) != nil {
		return fault.New(fault.Invalid, "HX-STREAM-003", "the message is not the JSON that is expected", "compare it with the protocol's description")
	}
	return nil
}

// Write sends one message.
func (s *Socket) Write(ctx context.Context, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), WriteTime)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}

// KeepAlive pings the client until ctx is done, and tells when there is no answer.
// Somebody must read meanwhile.
func (s *Socket) KeepAlive(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTime)
		err := s.conn.Ping(limited)
		cancel()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// The codes of Close. The last ones are those of graphql-transport-ws.
const (
	CodeDone         = int(websocket.StatusNormalClosure)
	CodeGoingAway    = int(websocket.StatusGoingAway)
	CodePolicy       = int(websocket.StatusPolicyViolation)
	CodeInternal     = int(websocket.StatusInternalError)
	CodeInvalid      = 4400
	CodeUnauthorized = 4401
	CodeForbidden    = 4403
	CodeSubprotocol  = 4406
	CodeInitTimeout  = 4408
	CodeConflict     = 4409
	CodeExhausted    = 4429
)

// maxReason is what a close frame holds.
const maxReason = 120

// Close says why and ends the connection. Closing again does nothing.
func (s *Socket) Close(code int, reason string) {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	_ = s.conn.Close(websocket.StatusCode(code), reason) // the client is gone: nobody to tell
}

// CodeOf is how a stream that ended for a reason is closed.
func CodeOf(cause error) (code int, reason string) {
	switch {
	case errors.Is(cause, ErrStopping):
		return CodeGoingAway, ErrStopping.Error()
	case fault.Is(cause, fault.Unauthenticated):
		return CodeUnauthorized, fault.As(cause).Msg
	case fault.Is(cause, fault.Denied):
		return CodeForbidden, fault.As(cause).Msg
	case fault.Is(cause, fault.Exhausted):
		return CodeExhausted, fault.As(cause).Msg
	case fault.Is(cause, fault.Invalid):
		return CodeInvalid, fault.As(cause).Msg
	case fault.Is(cause, fault.Conflict):
		return CodeConflict, fault.As(cause).Msg
	}
	return CodeInternal, fault.As(cause).Msg
}

// HasCredential tells whether the request says who calls. A page cannot set the
// headers of a WebSocket: without a session it says so by its first message.
func HasCredential(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != "" || auth.HasSession(r)
}
