-- +goose Up
-- Where the log is carried to, and how far each place has it.

CREATE TABLE audit_sinks (
    name        TEXT    PRIMARY KEY,
    kind        TEXT    NOT NULL,
    pos         INTEGER NOT NULL DEFAULT 0, -- the sink has the log up to here
    upto        INTEGER,                    -- end of the batch that was begun: it is made again with the same end
    took_at     INTEGER,                    -- when it took something last
    failures    INTEGER NOT NULL DEFAULT 0, -- in a row
    error       TEXT    NOT NULL DEFAULT '',
    due         INTEGER NOT NULL DEFAULT 0, -- not before
    node        TEXT    NOT NULL DEFAULT '',
    epoch       INTEGER NOT NULL DEFAULT 0, -- rises with each batch
    lease_until INTEGER                     -- of the batch that is on its way
);
