package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// TestWritable: only what reached the disk counts as proof that the database takes
// changes; an update that changed nothing, or was undone, does not.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	var commits, failed int
	s := open(t, store.Options{Dir: dir, Committed: func(updates int, took time.Duration, err error) {
		commits += updates
		if err != nil {
			failed++
		}
		if took <= 0 {
			t.Error("a transaction took no time")
		}
	}})
	scope, err := tenant.NewPrincipal(tenant.Default, "test", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		t.Fatal(err)
	}
	update := func(fn func(tx service.Tx) error) error { return s.Update(context.Background(), scope, fn) }
	broken := errors.New("undone")
	submit := func(after error) func(service.Tx) error {
		return func(tx service.Tx) error {
			j := job.New("j", string(tenant.Default), job.Spec{VMPath: "/DC/vm/a"}.WithDefaults(), time.Now())
			return errors.Join(tx.Insert(&j), after)
		}
	}
	alter(t, dir, `CREATE TRIGGER full BEFORE INSERT ON probe BEGIN SELECT RAISE(FAIL, 'no room'); END`)
	for what, fn := range map[string]func(service.Tx) error{"nothing": func(service.Tx) error { return nil }, "undone": submit(broken)} {
		if err := update(fn); err != nil && !errors.Is(err, broken) && !fault.Is(err, fault.Internal) {
			t.Fatal(what, err)
		}
		if err := s.Writable(t.Context(), time.Hour); err == nil {
			t.Errorf("an update (%s) passes as proof", what)
		}
	}
	if err := update(submit(nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.Writable(t.Context(), time.Hour); err != nil {
		t.Error("a job was stored just before:", err)
	}
	if err := s.Writable(t.Context(), 0); err == nil {
		t.Error("the probe did not write")
	}
	alter(t, dir, `DROP TRIGGER full`)
	if err := s.Writable(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if commits < 6 || failed != 0 {
		t.Errorf("%d updates and %d failed transactions were told of", commits, failed)
	}
}
