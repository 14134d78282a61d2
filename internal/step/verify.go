package step

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// Verify is the step that reads an export back and compares it with its receipt.
// It implements workflow.Executor.
type Verify struct {
	Key ed25519.PublicKey // must have signed the receipt
}

// Validate implements workflow.Executor.
func (*Verify) Validate(context.Context, job.Step) error { return nil }

// Cleanup implements workflow.Executor: reading leaves nothing.
func (*Verify) Cleanup(context.Context, workflow.Task) error { return nil }

// Execute implements workflow.Executor. Kind Corrupt says what differs.
func (v *Verify) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	in, err := OpenStored(t.Input)
	if err != nil {
		return job.Outcome{}, err
	}
	m := newMeter(t.Progress)
	stop := m.start(ctx)
	defer stop()
	rep, err := artifact.Verify(ctx, in.Dir, v.Key, func(disks []receipt.Disk, n []*disk.Counters) {
		shown := make([]job.DiskProgress, len(disks))
		for i, d := range disks {
			shown[i] = job.DiskProgress{Key: d.Key, Name: d.Name, BytesTotal: d.Size}
		}
		m.watch(phaseVerify, shown, n)
	})
	if err != nil {
		return job.Outcome{}, cause(ctx, err)
	}
	return job.Outcome{}, errors.Join(sameReceipt(rep, in.Receipt), judge(rep))
}

// sameReceipt makes sure that what lies there is what the step before made.
func sameReceipt(rep *artifact.Report, want *receipt.Receipt) error {
	if rep.Receipt.JobID == want.JobID && rep.Receipt.Finished.Equal(want.Finished) {
		return nil
	}
	return fault.New(fault.Corrupt, "HX-VERIFY-030", "the export was replaced by another one since it was made", "find out who writes there; export again")
}

func judge(rep *artifact.Report) error {
	var wrong []string
	for _, d := range rep.Disks {
		switch {
		case d.Problem != "":
			wrong = append(wrong, d.Name+": "+d.Problem)
		case len(d.Differences) > 0:
			wrong = append(wrong, fmt.Sprintf("%s: %d bytes at offset %d are not what was read (%d ranges differ)",
				d.Name, d.Differences[0].Length, d.Differences[0].Offset, len(d.Differences)))
		}
	}
	for _, f := range rep.Files {
		if f.Problem != "" {
			wrong = append(wrong, f.Name+": "+f.Problem)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Corrupt, "HX-VERIFY-031", "the export is not what its receipt says: "+strings.Join(wrong, "; "),
		"check the destination's storage, then export again")
}
