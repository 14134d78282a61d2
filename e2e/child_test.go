//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// The power cuts of the store run this test binary again as another process,
// which submits to a store and prints each acknowledged id.
const (
	childDir  = "HYPERSDK_E2E_CHILD_DIR"
	childSync = "HYPERSDK_E2E_CHILD_SYNC"
)

// child takes over the process if it is such a child.
func child() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	fmt.Fprintln(os.Stderr, fault.Detail(submitForever(context.Background(), dir, store.Sync(os.Getenv(childSync)))))
	os.Exit(1)
}

// submitForever submits from several goroutines, as a daemon does, until an
// error.
func submitForever(ctx context.Context, dir string, mode store.Sync) error {
	s, err := store.Open(ctx, store.Options{Dir: dir, Synchronous: mode})
	if err != nil {
		return err
	}
	scope, err := submitter()
	if err != nil {
		return err
	}
	const clients = 8
	errs := make(chan error, clients)
	var out sync.Mutex
	for range clients {
		go func() {
			for {
				j := job.New(fmt.Sprintf("job-%016x", rand.Uint64()), string(tenant.Default), job.Spec{VMPath: "/DC/vm/web-01"}.WithDefaults(), time.Now())
				if err := s.Update(ctx, scope, func(tx service.Tx) error { return tx.Insert(&j) }); err != nil {
					errs <- err
					return
				}
				out.Lock()
				fmt.Println(j.ID)
				out.Unlock()
			}
		}()
	}
	return <-errs
}

func submitter() (tenant.Scope, error) {
	return tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...).Scope(tenant.JobSubmit)
}

// startChild starts such a child on a state directory.
func startChild(t *testing.T, dir string, mode store.Sync) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childSync+"="+string(mode))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}
