package dispatch

import "github.com/hypersdk/hypersdk/internal/job"

// Holder tells who may still need what a run of a job has staged.
type Holder struct {
	State  job.State
	Node   string // that runs it; goes with Leased
	Leased bool
	Token  []byte // what the executor saved last: of the step if it is a workflow's, else of the job
}

// Useless tells whether nobody will go on in a staging area that is on this node:
// its job has ended, or runs on another node, in an area with another mark. A job
// that waits may go on in it, and so may one whose run has not said where it is.
func (h *Holder) Useless(node, mark string, markOf func(token []byte) string) bool {
	if h.State.Final() {
		return true
	}
	elsewhere := markOf(h.Token)
	return h.Leased && h.Node != node && elsewhere != "" && elsewhere != mark
}
