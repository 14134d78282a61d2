package admission

// Host is a host of a provider as a decision needs it: jobs that read from it
// hold one of its slots each.
type Host struct {
	Provider string // whose hosts all have the same limit
	Limit    int    // 0: none
	Held     int
}

// Open tells whether one more job may read from the host.
func (h Host) Open() bool { return h.Limit <= 0 || h.Held < h.Limit }

// Hosts are the hosts that the jobs of a State name. One that is missing is open.
type Hosts map[string]Host

// open tells whether a job whose host is known may start.
func (h Hosts) open(host string) bool { return host == "" || h[host].Open() }

// SetHost changes a host: jobs that wait for it may start, or no longer.
func (q *Queue) SetHost(name string, h Host) {
	was := q.Hosts[name].Open()
	q.Hosts[name] = h
	if h.Open() == was {
		return
	}
	for _, b := range q.behind {
		q.refresh(b)
	}
}
