-- +goose Up
-- What a tenant used, in the calendar month (UTC) in which its jobs ended: added
-- to in the transaction that ends a run.

CREATE TABLE usage_months (
    tenant            TEXT    NOT NULL,
    month             TEXT    NOT NULL,           -- YYYY-MM
    completed         INTEGER NOT NULL DEFAULT 0, -- jobs
    failed            INTEGER NOT NULL DEFAULT 0,
    cancelled         INTEGER NOT NULL DEFAULT 0,
    bytes_read        INTEGER NOT NULL DEFAULT 0,
    bytes_transferred INTEGER NOT NULL DEFAULT 0,
    bytes_stored      INTEGER NOT NULL DEFAULT 0,
    run_micros        INTEGER NOT NULL DEFAULT 0, -- time that workers had its jobs
    PRIMARY KEY (tenant, month)
);

ALTER TABLE tenants ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0; -- artifacts of its jobs
ALTER TABLE jobs ADD COLUMN claimed_at INTEGER NOT NULL DEFAULT 0;      -- when the newest run began
