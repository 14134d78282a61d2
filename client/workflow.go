package client

import "time"

// Step is one step of a workflow. Which fields it takes depends on its type.
type Step struct {
	ID        string       `json:"id"`
	Type      string       `json:"type"` // export, upload, webhook, …
	DependsOn []string     `json:"depends_on,omitempty"`
	When      string       `json:"when,omitempty"`  // success (default), failure, always
	Input     string       `json:"input,omitempty"` // $id.output
	Retry     *RetryPolicy `json:"retry,omitempty"`
	Timeout   string       `json:"timeout,omitempty"` // of one attempt; Go duration

	Name           string   `json:"name,omitempty"`
	VMPath         string   `json:"vm_path,omitempty"`
	Provider       string   `json:"provider,omitempty"`
	Format         string   `json:"format,omitempty"`
	OutputPath     string   `json:"output_path,omitempty"`
	Compress       *bool    `json:"compress,omitempty"`
	Compression    string   `json:"compression,omitempty"`
	CompressionLvl int      `json:"compression_level,omitempty"`
	Verify         string   `json:"verify,omitempty"`
	Transport      string   `json:"transport,omitempty"`
	ExcludeDisks   []string `json:"exclude_disks,omitempty"`
	PowerOff       bool     `json:"power_off,omitempty"`

	Profile           string   `json:"profile,omitempty"` // of an export, as those that follow
	ProfileDigest     string   `json:"profile_digest,omitempty"`
	BandwidthLimit    string   `json:"bandwidth_limit,omitempty"` // per second: 50MB
	BandwidthWindows  []string `json:"bandwidth_windows,omitempty"`
	EnableCheckpoints *bool    `json:"enable_checkpoints,omitempty"`
	VerifyChecksum    *bool    `json:"verify_checksum,omitempty"`
	GenerateManifest  *bool    `json:"generate_manifest,omitempty"`

	TargetFormat string `json:"target_format,omitempty"` // qcow2, raw, vmdk
	Engine       string `json:"engine,omitempty"`
	Destination  string `json:"destination,omitempty"` // s3://bucket/prefix, file:///directory
	Overwrite    bool   `json:"overwrite,omitempty"`
	URL          string `json:"url,omitempty"` // of a webhook; as the daemon shows it, only the host
	Message      string `json:"message,omitempty"`
	Marker       string `json:"marker,omitempty"` // of a boot: what the guest prints when it is up
}

// RetryPolicy says how often a step is tried whose failure may pass.
type RetryPolicy struct {
	MaxAttempts int    `json:"max_attempts,omitempty"`
	Backoff     string `json:"backoff,omitempty"` // Go duration
	MaxBackoff  string `json:"max_backoff,omitempty"`
}

// StepState is how one step of a workflow is: pending, running, completed,
// failed, skipped or cancelled.
type StepState struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	Status     string     `json:"status"`
	Attempt    int        `json:"attempt"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Reason     string     `json:"reason,omitempty"` // why it was skipped
	Error      *Failure   `json:"error,omitempty"`
	Artifacts  []Artifact `json:"artifacts,omitempty"`
}
