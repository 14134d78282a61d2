package rest

import "time"

// SetWriteTime bounds the writes of streams.
func (a *API) SetWriteTime(limit time.Duration) { a.write = limit }
