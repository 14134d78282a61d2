package gate

import (
	"net/http"
	"strconv"
	"time"
)

// Allowance is what a caller has left of an operation. The zero value stands for
// no limit.
type Allowance struct {
	Policy    string        // its name
	Limit     int64         // turns in a window
	Window    time.Duration // in which they come back
	Remaining int64
	Reset     time.Duration // until there is one more
}

// Set writes the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10).
func (a Allowance) Set(h http.Header) {
	if a.Limit == 0 {
		return
	}
	h.Set("Ratelimit-Policy", strconv.Quote(a.Policy)+";q="+strconv.FormatInt(a.Limit, 10)+";w="+seconds(a.Window))
	h.Set("Ratelimit", strconv.Quote(a.Policy)+";r="+strconv.FormatInt(a.Remaining, 10)+";t="+seconds(a.Reset))
}

// SetRetry writes how long to wait for the next turn.
func (a Allowance) SetRetry(h http.Header) {
	if a.Limit > 0 {
		h.Set("Retry-After", seconds(max(a.Reset, time.Second)))
	}
}

// seconds rounds up: whoever waits that long waits long enough.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
