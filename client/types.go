package client

import (
	"encoding/json"
	"time"
)

// Spec is a job to submit. VMPath and OutputPath are needed, the rest has
// defaults.
type Spec struct {
	Name           string            `json:"name,omitempty"`
	VMPath         string            `json:"vm_path,omitempty"`
	Provider       string            `json:"provider,omitempty"`    // default vsphere
	Format         string            `json:"format,omitempty"`      // ova, ovf, vmdk, qcow2, raw; default ova
	OutputPath     string            `json:"output_path,omitempty"` // below a root of the daemon
	Priority       string            `json:"priority,omitempty"`    // critical, high, normal, low
	Compress       *bool             `json:"compress,omitempty"`    // qcow2: default true
	Compression    string            `json:"compression,omitempty"` // qcow2: zlib, zstd
	CompressionLvl int               `json:"compression_level,omitempty"`
	Verify         string            `json:"verify,omitempty"`        // full, none
	Transport      string            `json:"transport,omitempty"`     // auto, range, nfc
	ExcludeDisks   []string          `json:"exclude_disks,omitempty"` // keys or labels
	PowerOff       bool              `json:"power_off,omitempty"`
	MaxAttempts    int               `json:"max_attempts,omitempty"`
	Timeout        string            `json:"timeout,omitempty"` // Go duration
	NotBefore      *time.Time        `json:"not_before,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`

	Profile           string   `json:"profile,omitempty"`            // named defaults for what is left out here
	ProfileDigest     string   `json:"profile_digest,omitempty"`     // given: the profile must still be that
	BandwidthLimit    string   `json:"bandwidth_limit,omitempty"`    // 50MB: bytes per second
	BandwidthWindows  []string `json:"bandwidth_windows,omitempty"`  // Mon-Fri 08:00-18:00 = 50MB
	EnableCheckpoints *bool    `json:"enable_checkpoints,omitempty"` // default true
	VerifyChecksum    *bool    `json:"verify_checksum,omitempty"`    // true: verify full, false: none
	GenerateManifest  *bool    `json:"generate_manifest,omitempty"`

	Jobs    []Step `json:"jobs,omitempty"`    // a workflow instead of an export: its steps
	Finally []Step `json:"finally,omitempty"` // steps that run after all others
}

// State of a job.
type State string

// The states. The last three are final.
const (
	Pending    State = "pending"
	Running    State = "running"
	Cancelling State = "cancelling"
	Completed  State = "completed"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
)

// Final tells whether nothing can follow the state.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Job is a submitted job.
type Job struct {
	ID           string      `json:"id"`
	Tenant       string      `json:"tenant"`
	Spec         Spec        `json:"spec"`
	Status       State       `json:"status"`
	Priority     string      `json:"priority"`
	Host         string      `json:"host,omitempty"`        // PROVIDER/HOST that it reads from, or waits for
	WaitReason   string      `json:"wait_reason,omitempty"` // why it is pending: slot, tenant_limit, host_limit, not_before, paused
	Paused       bool        `json:"paused,omitempty"`
	Attempt      int         `json:"attempt"` // attempts begun
	MaxAttempts  int         `json:"max_attempts"`
	Node         string      `json:"node,omitempty"`
	SubmittedAt  time.Time   `json:"submitted_at"`
	StartedAt    *time.Time  `json:"started_at,omitempty"`
	FinishedAt   *time.Time  `json:"finished_at,omitempty"`
	NotBefore    *time.Time  `json:"not_before,omitempty"`
	Progress     *Progress   `json:"progress,omitempty"`
	Error        *Failure    `json:"error,omitempty"`
	CancelReason string      `json:"cancel_reason,omitempty"`
	Artifacts    []Artifact  `json:"artifacts,omitempty"`
	Steps        []StepState `json:"steps,omitempty"` // of a workflow, as Get returns it
	// Receipt is the proof of a completed job, as Get returns it; a page of jobs
	// is without.
	Receipt json.RawMessage `json:"receipt,omitempty"`

	ArtifactsRemovedAt *time.Time `json:"artifacts_removed_at,omitempty"` // by retention
}

// Failure is why a job failed.
type Failure struct {
	Kind    string `json:"kind"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// Artifact is a file that a job made.
type Artifact struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Path   string `json:"path,omitempty"`
	Format string `json:"format"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
}

// Progress is how far a running job is.
type Progress struct {
	Phase         string         `json:"phase"`
	Percent       float64        `json:"percent"`
	BytesRead     int64          `json:"bytes_read"` // of the disks, zero runs included
	BytesTotal    int64          `json:"bytes_total"`
	BytesWritten  int64          `json:"bytes_written"`
	BytesZero     int64          `json:"bytes_skipped_zero"`
	BytesTransfer int64          `json:"bytes_transferred"` // over the wire
	Rate          float64        `json:"rate_bytes_per_second"`
	ETA           float64        `json:"eta_seconds"` // -1: unknown
	LimitedBy     string         `json:"limited_by,omitempty"`
	Disks         []DiskProgress `json:"disks,omitempty"`
	UpdatedAt     time.Time      `json:"updated_at"`
}

// DiskProgress is the progress of one disk.
type DiskProgress struct {
	Key        string  `json:"key"`
	Name       string  `json:"name"`
	Transport  string  `json:"transport,omitempty"`
	BytesRead  int64   `json:"bytes_read"`
	BytesTotal int64   `json:"bytes_total"`
	Rate       float64 `json:"rate_bytes_per_second"`
	ETA        float64 `json:"eta_seconds"` // -1: unknown
	Done       bool    `json:"done"`
}

// Event is a fact about a job. Seq ascends.
type Event struct {
	Seq    int64     `json:"seq"`
	Pos    int64     `json:"pos,omitempty"` // place in the log of all events; 0: none yet
	JobID  string    `json:"job_id"`
	Tenant string    `json:"tenant"`
	Kind   string    `json:"kind"` // job.submitted, job.started, job.completed, …
	Actor  string    `json:"actor"`
	Time   time.Time `json:"time"`
	Data   EventData `json:"data"`
}

// EventData is what an event tells besides its kind.
type EventData struct {
	Subject   string     `json:"subject,omitempty"` // what it is about, if not a job
	Status    State      `json:"status,omitempty"`  // after the event; empty: it is about no job
	From      State      `json:"from,omitempty"`
	Attempt   int        `json:"attempt"`
	Step      string     `json:"step,omitempty"` // of a workflow
	Node      string     `json:"node,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	Error     *Failure   `json:"error,omitempty"`
	Priority  string     `json:"priority,omitempty"` // the new one, where it changed

	Origin *Origin `json:"origin,omitempty"` // where the actor called from; nil: it is the daemon itself
}

// Origin tells where a call came from.
type Origin struct {
	IP          string `json:"ip,omitempty"`
	Door        string `json:"door,omitempty"` // rest, graphql, grpc, ws
	RequestID   string `json:"request_id,omitempty"`
	TraceParent string `json:"traceparent,omitempty"` // W3C Trace Context
}

// Query selects jobs: fields are cumulative, the values of one alternatives.
type Query struct {
	JobIDs   []string  `json:"job_ids,omitempty"`
	Status   []State   `json:"status,omitempty"`
	Priority []string  `json:"priority,omitempty"`
	VM       string    `json:"vm,omitempty"`     // path or name; * and ? are wildcards
	Since    time.Time `json:"since,omitzero"`   // submitted at or after
	Until    time.Time `json:"until,omitzero"`   // submitted before
	Limit    int       `json:"limit,omitempty"`  // jobs on a page, at most 1000; 50 unless told
	Cursor   string    `json:"cursor,omitempty"` // NextCursor of the page before
}

// Page is one page of a query, newest first.
type Page struct {
	Jobs         []Job     `json:"jobs"`
	Total        int64     `json:"total"` // on all pages
	TotalIsLeast bool      `json:"total_is_least,omitempty"`
	NextCursor   string    `json:"next_cursor,omitempty"` // empty: the last page
	Timestamp    time.Time `json:"timestamp"`
}

// Submitted is the answer to a submit.
type Submitted struct {
	JobIDs   []string `json:"job_ids"` // in the order of the request
	Accepted int      `json:"accepted"`
	Rejected int      `json:"rejected"`
	Errors   []Issue  `json:"errors"` // one for each refused job
}

// Cancellation is the answer to a cancel. Outcome is cancelled (it had not begun),
// cancelling (it stops and cleans up now), already_asked or already_final.
type Cancellation struct {
	JobID   string `json:"job_id"`
	Outcome string `json:"outcome"`
	Status  State  `json:"status"`
}

// Status is how busy the daemon is.
type Status struct {
	Version    string          `json:"version"`
	Uptime     float64         `json:"uptime_seconds"`
	Jobs       map[State]int64 `json:"jobs"`
	Workers    Workers         `json:"workers"`
	OldestWait float64         `json:"oldest_wait_seconds"`
}

// Workers are the places for jobs.
type Workers struct {
	Size   int    `json:"size"`
	Busy   int    `json:"busy"` // more than Size while the pool drains
	Min    int    `json:"min"`
	Max    int    `json:"max"`    // the same as Min if the pool does not scale
	Reason string `json:"reason"` // why Size is as it is
}

// Health is the state of the daemon: healthy, degraded or unhealthy, the worst
// of its checks.
type Health struct {
	Status    string           `json:"status"`
	Version   string           `json:"version"`
	Uptime    float64          `json:"uptime_seconds"`
	Timestamp time.Time        `json:"timestamp"`
	Checks    map[string]Check `json:"checks"`
}

// Check is the state of one part.
type Check struct {
	Status  string  `json:"status"`
	Message string  `json:"message,omitempty"`
	Latency float64 `json:"latency_ms"`
}
