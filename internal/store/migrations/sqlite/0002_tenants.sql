-- +goose Up
-- Who shares the queue. A limit of 0 means none.

CREATE TABLE tenants (
    id                  TEXT    PRIMARY KEY,
    name                TEXT    NOT NULL,
    state               TEXT    NOT NULL DEFAULT 'active', -- active, draining: takes no new jobs and is deleted when none is left
    paused              INTEGER NOT NULL DEFAULT 0,        -- 1: nothing of it is started
    weight              INTEGER NOT NULL DEFAULT 1,        -- share of the workers against other tenants in a class
    max_concurrent_jobs INTEGER NOT NULL DEFAULT 0,
    max_queued_jobs     INTEGER NOT NULL DEFAULT 0,
    max_storage_bytes   INTEGER NOT NULL DEFAULT 0,
    max_bandwidth_bytes INTEGER NOT NULL DEFAULT 0,        -- per second
    created_at          INTEGER NOT NULL
);
INSERT INTO tenants (id, name, created_at) VALUES ('default', 'default', 0);
