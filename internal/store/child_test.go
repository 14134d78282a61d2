package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// The tests below run this test binary again as another process: childMode says
// what it is to do, childDir with which state directory.
const (
	childMode = "HYPERSDK_STORE_TEST_CHILD"
	childDir  = "HYPERSDK_STORE_TEST_DIR"
)

// child takes over the process if it is such a child.
func child() {
	mode := os.Getenv(childMode)
	if mode == "" {
		return
	}
	if err := runChild(mode, os.Getenv(childDir)); err != nil {
		fmt.Fprintln(os.Stderr, fault.Detail(err))
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(mode, dir string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return err
	}
	if mode == "full" {
		signal.Ignore(unix.SIGXFSZ) // the write fails with EFBIG instead
		limit := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for range cap(errs) {
		wg.Go(func() { errs <- submitForever(ctx, s) })
	}
	err = <-errs
	if !fault.Is(err, fault.Unavailable) {
		return fmt.Errorf("the disk fails and the error is %w", err)
	}
	fmt.Println("FATAL", fault.Detail(<-s.Fatal()))
	wg.Wait()
	if _, _, err := submit(ctx, s, "late"); !fault.Is(err, fault.Unavailable) {
		return fmt.Errorf("a dead store answers %w", err)
	}
	return nil
}

// submitForever prints the id of each job that was acknowledged.
func submitForever(ctx context.Context, s *store.Store) error {
	for {
		id, _, err := submit(ctx, s, fmt.Sprint(rand.Uint64()))
		if err != nil {
			return err
		}
		fmt.Println(id)
	}
}

// submit stores one job with an idempotency key.
func submit(ctx context.Context, s *store.Store, key string) (string, job.Job, error) {
	scope, err := tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		return "", job.Job{}, err
	}
	j := job.New("job-"+key, string(tenant.Default), job.Spec{VMPath: "/DC/vm/web-01"}.WithDefaults(), time0)
	o := onceOf(scope, key)
	err = s.Update(ctx, scope.Under(o), func(tx service.Tx) error { return tx.Insert(&j) })
	if err == nil && o.Found != nil {
		err = errors.New("it was stored before")
	}
	return j.ID, j, err
}

// onceOf is the call that stores a job.
func onceOf(scope tenant.Scope, key string) *tenant.Once {
	return &tenant.Once{
		Tenant: scope.Tenant(), Principal: scope.Actor(), Key: key, Digest: []byte("digest"),
		Answer: func() ([]byte, error) { return []byte("job-" + key), nil },
	}
}

// startChild runs this binary as a child.
func startChild(t *testing.T, mode, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestKill kills a process that submits, at random instants, again and again on
// one state directory: whatever was acknowledged is there, whole.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	for range 10 {
		cmd, out := startChild(t, "submit", dir)
		for left := 1 + rand.IntN(150); out.Scan(); left-- {
			acked[out.Text()] = true
			if left == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child ended by itself: %v", err)
		}
		verify(t, dir, acked)
	}
}

// TestDiskFails lets the files of the store hit a hard limit: the store tells
// of it, takes no more changes, and has all that was acknowledged.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	cmd, out := startChild(t, "full", dir)
	acked, fatal := map[string]bool{}, ""
	for out.Scan() {
		if strings.HasPrefix(out.Text(), "FATAL") {
			fatal = out.Text()
			continue
		}
		acked[out.Text()] = true
	}
	if err := errors.Join(out.Err(), cmd.Wait()); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if !strings.Contains(fatal, "HX-STORE-011") || len(acked) == 0 {
		t.Fatalf("%d acknowledged, then %q", len(acked), fatal)
	}
	verify(t, dir, acked)
}

// verify opens the store after a crash and checks that every acknowledged job is
// there, and that every job that is there has its event and its key.
func verify(t *testing.T, dir string, acked map[string]bool) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for before := int64(0); ; {
		jobs, err := s.Reader(scope).Jobs(t.Context(), service.Query{Limit: 1000}, before)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			before = j.Seq
			if acked[j.ID] {
				found++
			}
			whole(t, s, scope, j.ID)
		}
		if len(jobs) < 1000 {
			break
		}
	}
	if found != len(acked) {
		t.Errorf("%d of %d acknowledged jobs are there", found, len(acked))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func whole(t *testing.T, s *store.Store, scope tenant.Scope, id string) {
	t.Helper()
	events, err := s.Reader(scope).Events(t.Context(), id, 0, 10)
	if err != nil || len(events) != 1 {
		t.Errorf("%s has %d events, %v", id, len(events), err)
	}
	old, err := s.Remembered(t.Context(), onceOf(scope, strings.TrimPrefix(id, "job-")))
	if err != nil || old == nil || string(old.Answer) != id || !old.Done {
		t.Errorf("the key of %s is lost: %+v, %v", id, old, err)
	}
}
