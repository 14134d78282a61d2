package event

// Topic is what one can wait for a change of.
type Topic string

// Queue is touched whenever the dispatcher may have something to do: a job
// became ready to run, or is to be cancelled.
const Queue Topic = "queue"

// Schedules is touched whenever the next run of a schedule may have changed.
const Schedules Topic = "schedules"

// Appended is touched when an event was committed: it has no place in the log yet.
const Appended Topic = "appended"

// Log is touched when the log grew: events have places that had none.
const Log Topic = "log"

// JobTopic is touched by each event and each progress of the job.
func JobTopic(id string) Topic { return Topic("job:" + id) }
