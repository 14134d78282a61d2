// Package job holds the nouns of the engine: what a user submits, the states
// it goes through and what comes out of it.
package job

import (
	"encoding/json"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Spec is what a user submits (JSON or YAML, snake_case, unknown keys refused).
type Spec struct {
	Name           string            `json:"name,omitempty"`
	VMPath         string            `json:"vm_path,omitempty"`
	Provider       string            `json:"provider,omitempty"`    // default vsphere
	Format         string            `json:"format,omitempty"`      // ova, ovf, vmdk, qcow2, raw; default ova
	OutputPath     string            `json:"output_path,omitempty"` // below a configured root
	Priority       Priority          `json:"priority,omitempty"`
	Compress       *bool             `json:"compress,omitempty"`          // qcow2: default true
	Compression    string            `json:"compression,omitempty"`       // qcow2: zlib (default), zstd
	CompressionLvl int               `json:"compression_level,omitempty"` // 0: default
	Verify         string            `json:"verify,omitempty"`            // full (default), none
	Transport      string            `json:"transport,omitempty"`         // auto (default), range, nfc
	ExcludeDisks   []string          `json:"exclude_disks,omitempty"`     // keys or labels
	PowerOff       bool              `json:"power_off,omitempty"`
	MaxAttempts    int               `json:"max_attempts,omitempty"` // default 3
	Timeout        string            `json:"timeout,omitempty"`      // Go duration; none by default
	NotBefore      *time.Time        `json:"not_before,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`

	Profile           string    `json:"profile,omitempty"`            // named defaults; the merged spec is what is kept
	ProfileDigest     string    `json:"profile_digest,omitempty"`     // of the profile as it was; given: the profile must still be that
	BandwidthLimit    Bandwidth `json:"bandwidth_limit,omitempty"`    // "50MB": bytes per second read from the source
	BandwidthWindows  []string  `json:"bandwidth_windows,omitempty"`  // "Mon-Fri 08:00-18:00 = 50MB"
	EnableCheckpoints *bool     `json:"enable_checkpoints,omitempty"` // default true; false: an interrupted disk is read again from its start
	VerifyChecksum    *bool     `json:"verify_checksum,omitempty"`    // true: verify full, false: verify none
	GenerateManifest  *bool     `json:"generate_manifest,omitempty"`  // ova, ovf: default true (.mf); others: default false (SHA256SUMS)
	Jobs              []Step    `json:"jobs,omitempty"`               // a workflow instead of an export: its steps
	Finally           []Step    `json:"finally,omitempty"`            // steps that run after all others, however those ended
}

// Job is one submitted job as the store keeps it.
type Job struct {
	ID           string          `json:"id"` // sortable by time of submission (UUIDv7)
	Tenant       string          `json:"tenant"`
	Spec         Spec            `json:"spec"`
	State        State           `json:"status"`
	Priority     Priority        `json:"priority"`
	WaitReason   string          `json:"wait_reason,omitempty"` // slot, tenant_limit, host_limit, not_before, paused
	Paused       bool            `json:"paused,omitempty"`
	Attempt      int             `json:"attempt"` // attempts begun, from 1
	MaxAttempts  int             `json:"max_attempts"`
	Epoch        int64           `json:"-"` // fencing number: rises whenever the job changes hands
	Seq          int64           `json:"-"` // order of submission, given by the store
	Trace        string          `json:"-"` // the submit's place in its trace (traceparent), or empty
	RunTrace     string          `json:"-"` // that of the last run
	Node         string          `json:"node,omitempty"`
	Host         string          `json:"host,omitempty"` // PROVIDER/HOST that it reads from, or waits for
	ReadyAt      time.Time       `json:"-"`              // it could have started since then
	SubmittedAt  time.Time       `json:"submitted_at"`
	StartedAt    *time.Time      `json:"started_at,omitempty"`
	FinishedAt   *time.Time      `json:"finished_at,omitempty"`
	NotBefore    *time.Time      `json:"not_before,omitempty"`
	Progress     *Progress       `json:"progress,omitempty"`
	Error        *Failure        `json:"error,omitempty"`
	CancelReason string          `json:"cancel_reason,omitempty"`
	Artifacts    []Artifact      `json:"artifacts,omitempty"`
	Steps        []StepState     `json:"steps,omitempty"` // of a workflow
	Receipt      json.RawMessage `json:"receipt,omitempty"`

	ArtifactsRemovedAt *time.Time `json:"artifacts_removed_at,omitempty"` // by retention
}

// Why a pending job waits.
const (
	WaitSlot        = "slot"         // all workers are busy, or other jobs go first
	WaitTenantLimit = "tenant_limit" // its tenant runs as many jobs as it may
	WaitHostLimit   = "host_limit"   // its host serves as many exports as it may
	WaitNotBefore   = "not_before"   // its time has not come
	WaitPaused      = "paused"       // it, or its tenant, is held back
)

// Failure is an error as a job keeps and shows it.
type Failure struct {
	Kind    string `json:"kind"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// FailureOf makes what is shown of an error.
func FailureOf(err error) *Failure {
	e := fault.As(err)
	if e == nil {
		return nil
	}
	return &Failure{Kind: e.Kind.String(), Code: e.Code, Message: e.Msg, Fix: e.Fix}
}

// Err is the failure as an error again, with text in front of its message.
func (f *Failure) Err(prefix string) *fault.Error {
	return fault.New(fault.KindNamed(f.Kind), f.Code, prefix+f.Message, f.Fix)
}

// Artifact is a file that a step made.
type Artifact struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Path   string `json:"path,omitempty"`
	Format string `json:"format"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
}

// Progress is the last known state of a running job; it is not an event.
type Progress struct {
	Phase         string         `json:"phase"` // preparing, copying, verifying, publishing, cleaning; of a workflow STEP: and its phase
	Percent       float64        `json:"percent"`
	BytesRead     int64          `json:"bytes_read"`  // logical bytes passed, zero runs included
	BytesTotal    int64          `json:"bytes_total"` // sum of the disks' capacities
	BytesWritten  int64          `json:"bytes_written"`
	BytesZero     int64          `json:"bytes_skipped_zero"`
	BytesTransfer int64          `json:"bytes_transferred"` // read from the source over the wire
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
	ETA        float64 `json:"eta_seconds"`
	Done       bool    `json:"done"`
}
