package job

import "time"

// Validate checks what can be known without the executor.
func (s Spec) Validate(now time.Time) error { return nil }
