package dispatch

import (
	"testing"

	"github.com/hypersdk/hypersdk/internal/job"
)

func TestWhatIsUseless(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		h    Holder
		want bool
	}{
		{"completed", Holder{State: job.Completed, Node: "here", Token: []byte("mine")}, true},
		{"failed", Holder{State: job.Failed}, true},
		{"cancelled", Holder{State: job.Cancelled}, true},
		{"waits to go on", Holder{State: job.Pending, Token: []byte("mine")}, false},
		{"waits, and was elsewhere", Holder{State: job.Pending, Node: "there", Token: []byte("theirs")}, false},
		{"runs here", Holder{State: job.Running, Node: "here", Leased: true, Token: []byte("mine")}, false},
		{"runs here in another area", Holder{State: job.Running, Node: "here", Leased: true, Token: []byte("theirs")}, false},
		{"runs elsewhere in this area", Holder{State: job.Running, Node: "there", Leased: true, Token: []byte("mine")}, false},
		{"runs elsewhere in another area", Holder{State: job.Running, Node: "there", Leased: true, Token: []byte("theirs")}, true},
		{"is cleaned up elsewhere, in another area", Holder{State: job.Cancelling, Node: "there", Leased: true, Token: []byte("theirs")}, true},
		{"runs elsewhere and has not said where", Holder{State: job.Running, Node: "there", Leased: true}, false},
		{"waits for its clean-up", Holder{State: job.Cancelling, Node: "there", Token: []byte("theirs")}, false},
	} {
		if got := c.h.Useless("here", "mine", func(token []byte) string { return string(token) }); got != c.want {
			t.Errorf("%s: useless: %v", c.name, got)
		}
	}
}
