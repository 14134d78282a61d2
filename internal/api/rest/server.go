package rest

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of a connection. An event stream is exempt from requestTime and bounds
// each of its writes instead.
const (
	headerTime  = 5 * time.Second  // to send the headers of a request
	bodyTime    = 10 * time.Second // to send the body of a request
	requestTime = time.Minute      // for a request in all
	idleTime    = time.Minute      // between requests
	maxHeader   = 32 << 10         // bytes of headers
	maxBody     = 1 << 20          // bytes of a body
)

// Limits of a connection of HTTP/2, which would else hold a megabyte for each of
// its buffers, and whoever reads nothing (ADR 28).
const (
	maxStreams   = 128              // open at once, unless the configuration says otherwise
	maxFrame     = 16 << 10         // bytes of a frame that comes in, the least that the protocol allows
	streamBuffer = 64 << 10         // bytes of one body that nobody has read
	connBuffer   = 256 << 10        // and of all bodies of the connection
	pingAfter    = 30 * time.Second // of silence: is there anybody?
	pingTime     = 15 * time.Second // for the answer
	writeByte    = 10 * time.Second // in which the client must take at least one byte
)

// NewServer returns a server with every limit set, for HTTP/1 and, as gRPC needs it,
// HTTP/2 with prior knowledge. The caller serves it and shuts it down.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		Protocols:         protocols(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connBuffer,
			SendPingTimeout: pingAfter, PingTimeout: pingTime, WriteByteTimeout: writeByte,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}
