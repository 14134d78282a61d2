-- +goose Up
-- The order of claims: see docs/adr/0010-claim-policy.md. jobs.delayed is 2 for
-- a pending job that is paused.

ALTER TABLE jobs ADD COLUMN ready_at INTEGER NOT NULL DEFAULT 0; -- it could have started since then
UPDATE jobs SET ready_at = CASE WHEN not_before > submitted_at THEN not_before ELSE submitted_at END;

DROP INDEX jobs_ready;
CREATE INDEX jobs_lane  ON jobs (tenant, priority, seq) WHERE state = 'pending' AND delayed = 0;
CREATE INDEX jobs_age   ON jobs (tenant, ready_at, seq) WHERE state = 'pending' AND delayed = 0;
CREATE INDEX jobs_slots ON jobs (tenant)                WHERE lease_until IS NOT NULL;

-- One row, which claims of several nodes take turns at.
CREATE TABLE scheduler (
    id       INTEGER PRIMARY KEY,
    turn     INTEGER NOT NULL, -- starts since one was given to an aged job
    critical INTEGER NOT NULL, -- virtual time of each class
    high     INTEGER NOT NULL,
    normal   INTEGER NOT NULL,
    low      INTEGER NOT NULL
);
INSERT INTO scheduler (id, turn, critical, high, normal, low) VALUES (1, 0, 0, 0, 0, 0);

-- Virtual time up to which a tenant was served in each class.
CREATE TABLE shares (
    tenant   TEXT    PRIMARY KEY,
    critical INTEGER NOT NULL,
    high     INTEGER NOT NULL,
    normal   INTEGER NOT NULL,
    low      INTEGER NOT NULL
);
