-- +goose Up
-- The place of a job's submit, and of its last run, in their trace: a traceparent
-- of the W3C, or empty.
ALTER TABLE jobs ADD COLUMN trace     TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN run_trace TEXT NOT NULL DEFAULT '';
