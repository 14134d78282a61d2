package event

// Topic is what one can wait for a change of.
type Topic string

// Queue is touched whenever the dispatcher may have something to do: a job
// became ready to run, or is to be cancelled.
const Queue Topic = "queue"

// Schedules is touched whenever the next run of a schedule may have changed.
const Schedules Topic = "schedules"

// JobTopic is touched by each event and each progress of the job.
func JobTopic(id string) Topic { return Topic("job:" + id) }
