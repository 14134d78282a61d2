-- +goose Up
-- Jobs that are submitted again and again.

CREATE TABLE schedules (
    id         TEXT    PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    spec       TEXT    NOT NULL,
    paused     INTEGER NOT NULL,
    next_run   INTEGER,                    -- by the cron expression; NULL: none
    due        INTEGER,                    -- next_run with its jitter
    queued     INTEGER NOT NULL DEFAULT 0, -- runs that wait for jobs of an earlier one
    last_run   INTEGER,
    last_jobs  TEXT,
    last_error TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL,           -- rises with each change
    UNIQUE (tenant, name)
);
CREATE INDEX schedules_due    ON schedules (due) WHERE due IS NOT NULL;
CREATE INDEX schedules_queued ON schedules (id)  WHERE queued > 0;

-- A run is inserted in the transaction that submits its jobs: the key makes it
-- happen once, however many nodes look.
CREATE TABLE schedule_runs (
    schedule_id TEXT    NOT NULL,
    run_at      INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    data        TEXT    NOT NULL,
    PRIMARY KEY (schedule_id, run_at)
);

-- The jobs of each schedule that had not ended when last looked at.
CREATE TABLE schedule_jobs (
    schedule_id TEXT NOT NULL,
    job_id      TEXT NOT NULL,
    PRIMARY KEY (schedule_id, job_id)
);
