-- +goose Up
-- Times are microseconds since 1970 UTC, JSON is TEXT.

CREATE TABLE jobs (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT, -- order of submission
    id            TEXT    NOT NULL UNIQUE,
    tenant        TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    priority      INTEGER NOT NULL,                  -- class: 0 critical … 3 low
    delayed       INTEGER NOT NULL DEFAULT 0,        -- 1: pending, and not_before was ahead when last looked at
    not_before    INTEGER NOT NULL DEFAULT 0,        -- 0: at once
    epoch         INTEGER NOT NULL DEFAULT 0,        -- fencing number, rises when the job changes hands
    node          TEXT    NOT NULL DEFAULT '',
    lease_until   INTEGER,                           -- NULL: nobody has the job
    attempt       INTEGER NOT NULL DEFAULT 0,
    max_attempts  INTEGER NOT NULL,
    submitted_at  INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    vm_path       TEXT    NOT NULL,                  -- lower case, for search
    vm_name       TEXT    NOT NULL,                  -- its last element
    cancel_reason TEXT    NOT NULL DEFAULT '',
    spec          TEXT    NOT NULL,
    failure       TEXT,
    progress      TEXT,
    artifacts     TEXT,
    receipt       TEXT,
    token         BLOB                               -- the provider's handle to the frozen VM
);

-- Each index below holds only the jobs that its question is about, so that no
-- answer depends on how many jobs have ended.
CREATE INDEX jobs_ready   ON jobs (priority, seq) WHERE state = 'pending' AND delayed = 0;
CREATE INDEX jobs_delayed ON jobs (not_before)    WHERE state = 'pending' AND delayed = 1;
CREATE INDEX jobs_cleanup ON jobs (not_before)    WHERE state = 'cancelling' AND lease_until IS NULL;
CREATE INDEX jobs_leased  ON jobs (lease_until)   WHERE lease_until IS NOT NULL;

-- Lists, newest first.
CREATE INDEX jobs_tenant  ON jobs (tenant, seq);
CREATE INDEX jobs_state   ON jobs (tenant, state, seq);
CREATE INDEX jobs_vm      ON jobs (tenant, vm_name, seq);

-- Appended in the transaction of the change that they tell of; never updated.
CREATE TABLE events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT    NOT NULL,
    tenant TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    actor  TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    data   TEXT    NOT NULL
);
CREATE INDEX events_job ON events (job_id, seq);

-- How far each disk of a job that has not ended is.
CREATE TABLE checkpoints (
    job_id TEXT    NOT NULL REFERENCES jobs (id),
    disk   TEXT    NOT NULL,
    off    INTEGER NOT NULL,
    digest BLOB    NOT NULL,
    PRIMARY KEY (job_id, disk)
);
CREATE TABLE checkpoint_records (
    job_id TEXT    NOT NULL REFERENCES jobs (id),
    disk   TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    record BLOB    NOT NULL,
    PRIMARY KEY (job_id, disk, seq)
);

-- Remote objects, written before they are made, deleted when they are gone.
CREATE TABLE ledger (
    id       TEXT    PRIMARY KEY,
    job_id   TEXT    NOT NULL REFERENCES jobs (id),
    provider TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    ref      TEXT    NOT NULL,
    at       INTEGER NOT NULL
);
CREATE INDEX ledger_job ON ledger (job_id);

-- Answers to requests that carried an idempotency key.
CREATE TABLE idempotency (
    tenant TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    digest BLOB    NOT NULL,
    answer BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
