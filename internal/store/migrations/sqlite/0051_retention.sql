-- +goose Up
-- What becomes of jobs that have ended.

ALTER TABLE jobs ADD COLUMN artifacts_removed_at INTEGER; -- NULL: they are there, as far as this program knows

CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_artifacts ON jobs (tenant, vm_path, seq)
    WHERE state = 'completed' AND artifacts IS NOT NULL AND artifacts_removed_at IS NULL;
