package main

import (
	"context"
	"os"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// remote is a daemon.
type remote struct{ c *client.Client }

func newRemote(url, keyFile string) (*remote, error) {
	c, err := console.Access{
		Server: url, KeyFile: keyFile, CAFile: os.Getenv("HYPERVISORD_CA_FILE"),
		CertFile: os.Getenv("HYPERVISORD_CERT_FILE"), CertKeyFile: os.Getenv("HYPERVISORD_CERT_KEY_FILE"),
	}.Connect()
	return &remote{c: c}, err
}

func (r *remote) vms(ctx context.Context, patterns []string) ([]provider.VM, error) {
	vms, err := r.c.VMs(ctx, "vsphere", patterns...)
	if err != nil {
		return nil, console.ServerError(err)
	}
	return console.Convert[provider.VM](vms)
}

func (r *remote) submit(ctx context.Context, specs []job.Spec) ([]string, error) {
	jobs, err := console.Convert[client.Spec](specs)
	if err != nil {
		return nil, err
	}
	s, err := r.c.Submit(ctx, jobs...)
	if err != nil {
		return nil, console.ServerError(err)
	}
	for _, issue := range s.Errors {
		return s.JobIDs, fault.New(fault.Unprocessable, "HX-CLI-005", "one of several jobs was refused: "+console.IssueText(issue), "correct it and submit it again; the others run")
	}
	return s.JobIDs, nil
}

// unfinished is none: the daemon goes on with its jobs by itself.
func (r *remote) unfinished(context.Context) ([]string, error) { return nil, nil }

func (r *remote) get(ctx context.Context, id string) (job.Job, error) {
	return console.RemoteJob(ctx, r.c, id)
}

func (r *remote) cancel(ctx context.Context, id string) error {
	_, err := r.c.Cancel(ctx, id, "interrupted at the terminal")
	return console.ServerError(err)
}

func (r *remote) close(context.Context) error {
	return nil
}
