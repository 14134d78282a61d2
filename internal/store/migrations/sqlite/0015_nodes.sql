-- +goose Up
-- The daemons that share this database. A row is deleted when its node stops in
-- order, and a day after it was lost.

CREATE TABLE nodes (
    id         TEXT    PRIMARY KEY,
    life       TEXT    NOT NULL,  -- of the process that has the id now
    host       TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    workers    INTEGER NOT NULL,
    busy       INTEGER NOT NULL,
    draining   INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    lost_at    INTEGER NOT NULL   -- without a further sign of life
);
