-- +goose Up
-- How far the steps of workflows are. A step that never started has no row.

CREATE TABLE steps (
    job_id   TEXT    NOT NULL REFERENCES jobs (id),
    id       TEXT    NOT NULL,
    position INTEGER NOT NULL, -- in the plan
    state    TEXT    NOT NULL, -- JSON
    receipt  TEXT,
    token    BLOB,             -- what the executor saved last; NULL once the job has ended
    PRIMARY KEY (job_id, id)
);

-- Which step made a remote object; empty: the job is no workflow.
ALTER TABLE ledger ADD COLUMN step TEXT NOT NULL DEFAULT '';
