-- +goose Up
-- How often in a row a worker was lost that had the job, and how far the job was
-- at most: see docs/states.md.

ALTER TABLE jobs ADD COLUMN crashes  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN furthest INTEGER NOT NULL DEFAULT 0;
