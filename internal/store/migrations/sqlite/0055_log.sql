-- +goose Up
-- Where each event stands in the log: dense, and ascending in the order of the
-- commits, which seq is not where several nodes write.

ALTER TABLE events ADD COLUMN pos INTEGER; -- NULL: it has no place yet

CREATE INDEX events_unplaced ON events (seq)         WHERE pos IS NULL;
CREATE INDEX events_log      ON events (pos)         WHERE pos IS NOT NULL;
CREATE INDEX events_tenant   ON events (tenant, pos) WHERE pos IS NOT NULL;

-- One row, which the nodes take turns at.
CREATE TABLE log_head (
    id   INTEGER PRIMARY KEY,
    size INTEGER NOT NULL -- places given
);
INSERT INTO log_head (id, size) VALUES (1, 0);
