-- +goose Up
-- How many jobs read from a host of a provider at once. jobs.delayed is 3 for a
-- pending job that waits for a slot of its host.

ALTER TABLE jobs ADD COLUMN host TEXT NOT NULL DEFAULT '';      -- PROVIDER/HOST that it reads from next
ALTER TABLE jobs ADD COLUMN host_step TEXT NOT NULL DEFAULT ''; -- the step that does
CREATE INDEX jobs_host ON jobs (host) WHERE state = 'pending' AND host <> '';

-- The row is what those who take and give slots of the provider take turns at.
CREATE TABLE host_limits (
    provider TEXT    PRIMARY KEY,
    slots    INTEGER NOT NULL -- of each host; 0: no limit
);

-- A row is deleted in the transaction that ends the lease of its job.
CREATE TABLE host_slots (
    job_id   TEXT    NOT NULL,
    step     TEXT    NOT NULL, -- of a workflow, else empty
    host     TEXT    NOT NULL,
    taken_at INTEGER NOT NULL,
    PRIMARY KEY (job_id, step)
);
CREATE INDEX host_slots_host ON host_slots (host);
