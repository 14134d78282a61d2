package job

import (
	"slices"
	"strings"
)

// Priority of a job.
type Priority string

// The priorities; Normal is the default.
const (
	Critical Priority = "critical"
	High     Priority = "high"
	Normal   Priority = "normal"
	Low      Priority = "low"
)

var priorities = [...]Priority{Critical, High, Normal, Low}

// PriorityNames lists all priorities for a message.
func PriorityNames() string { return join(priorities[:]) }

// Valid tells whether p is a priority.
func (p Priority) Valid() bool { return slices.Contains(priorities[:], p) }

// Class is the rank of the priority: 0 runs first. What is no priority ranks
// last.
func (p Priority) Class() int {
	if i := slices.Index(priorities[:], p); i >= 0 {
		return i
	}
	return len(priorities) - 1
}

// PriorityOf is the inverse of Class.
func PriorityOf(class int) Priority {
	if class < 0 || class >= len(priorities) {
		return Low
	}
	return priorities[class]
}

func join[T ~string](names []T) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}
