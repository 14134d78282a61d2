package grpc

import "time"

// SetIntervals makes the door look more often: at the credential of a stream, and at
// the state of the daemon.
func (d *Door) SetIntervals(recheck, health time.Duration) {
	d.recheck, d.health.every = recheck, health
}

// SetWriteTime bounds the writes of streams.
func (d *Door) SetWriteTime(limit time.Duration) { d.write = limit }

// SetBodyTime bounds how long a message may take to come.
func (d *Door) SetBodyTime(limit time.Duration) { d.body = limit }
