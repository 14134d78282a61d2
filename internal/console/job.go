package console

import (
	"fmt"
	"io"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// Bars are the bars of a job's progress.
func Bars(p *job.Progress) []Bar {
	if p == nil {
		return nil
	}
	bars := make([]Bar, len(p.Disks))
	for i, d := range p.Disks {
		bars[i] = Bar{Name: d.Name, Done: d.BytesRead, Total: d.BytesTotal, Rate: d.Rate, ETA: d.ETA}
	}
	return bars
}

// Failure writes how a job ended that did not complete.
func Failure(w io.Writer, vm, state string, f *job.Failure) {
	if f == nil {
		_, _ = fmt.Fprintf(w, "%s: %s\n", Printable(vm), state)
		return
	}
	line := fmt.Sprintf("%s: %s: %s %s", Printable(vm), state, f.Code, Printable(f.Message))
	if f.Fix != "" {
		line += " → " + Printable(f.Fix)
	}
	_, _ = fmt.Fprintln(w, line)
}

// Completed writes the proof of a completed export.
func Completed(w io.Writer, j *job.Job) error {
	r, pub, err := receipt.Open(j.Receipt)
	if err != nil {
		return err
	}
	var size int64
	for _, d := range r.Disks {
		size += d.Size
	}
	took := r.Finished.Sub(r.Started)
	if _, err := fmt.Fprintf(w, "%s: completed in %s (%s of disk, %s), verified: %s\n", Printable(r.VM.Path),
		took.Round(10*time.Millisecond), Bytes(size), Rate(float64(size)/took.Seconds()), r.Verified); err != nil {
		return err
	}
	for _, d := range r.Disks {
		if _, err := fmt.Fprintf(w, "  %-14s root %s  (%s)\n", Printable(d.Name), d.Root, d.Transport); err != nil {
			return err
		}
	}
	for _, a := range j.Artifacts {
		if _, err := fmt.Fprintf(w, "  %s  %s\n", Printable(a.Path), Bytes(a.Bytes)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "  receipt signed by key %s\n", receipt.KeyID(pub))
	return err
}

// JobsExit is the exit code of several finished jobs together.
func JobsExit(jobs []job.Job) int {
	codes := map[int]bool{}
	for _, j := range jobs {
		switch {
		case j.State == job.Completed:
			codes[ExitOK] = true
		case j.State == job.Cancelled:
			codes[ExitCancelled] = true
		case j.Error != nil:
			codes[ExitCode(j.Error.Kind, j.Error.Code)] = true
		default:
			codes[ExitInternal] = true
		}
	}
	if len(codes) > 1 {
		return ExitPartial
	}
	for code := range codes {
		return code
	}
	return ExitOK
}
