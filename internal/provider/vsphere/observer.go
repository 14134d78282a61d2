package vsphere

// Observer is told what happens, for metrics and progress. Every hook may be
// nil; they are called from many goroutines and must not block.
type Observer struct {
	// Transferred counts bytes that came over the wire for one disk of a VM.
	Transferred func(vm, disk, transport string, bytes int64)
	// Relogin tells that a session had expired and was renewed.
	Relogin func()
	// Retry tells that a request is repeated; op is "range", "nfc" or "soap".
	Retry func(op string)
	// HostWait tells that a stream begins (true) or ends (false) to wait for a
	// slot on an ESXi host.
	HostWait func(host string, waiting bool)
}

func (o *Observer) transferred(vm, disk, transport string, n int64) {
	if o.Transferred != nil && n > 0 {
		o.Transferred(vm, disk, transport, n)
	}
}

func (o *Observer) relogin() {
	if o.Relogin != nil {
		o.Relogin()
	}
}

func (o *Observer) retry(op string) {
	if o.Retry != nil {
		o.Retry(op)
	}
}

func (o *Observer) hostWait(host string, waiting bool) {
	if o.HostWait != nil {
		o.HostWait(host, waiting)
	}
}
