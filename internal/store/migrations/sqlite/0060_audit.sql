-- +goose Up
-- The Merkle tree over the log, and the checkpoints that were signed of it. What
-- an event says to the audit only is in its facts.

ALTER TABLE events ADD COLUMN facts TEXT; -- JSON; NULL: none

-- At most 32 hashes each. Those of retention's victims stay.
CREATE TABLE log_tiles (
    level INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    data  BLOB    NOT NULL,
    PRIMARY KEY (level, n)
);

CREATE TABLE log_checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT    NOT NULL,
    at   INTEGER NOT NULL
);

-- What has a place has no hash yet: places are given anew, in the same order.
UPDATE events SET pos = NULL;
UPDATE log_head SET size = 0;
