-- +goose Up
-- Who is told of events, and what is on its way.

CREATE TABLE webhooks (
    id          TEXT    PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    spec        TEXT    NOT NULL,           -- of the URL only the host
    sealed      BLOB    NOT NULL,           -- the URL and the signing secrets, encrypted
    key_id      TEXT    NOT NULL,           -- by which key
    secrets     TEXT    NOT NULL,           -- their ids and times
    enabled     INTEGER NOT NULL,
    reason      TEXT    NOT NULL,           -- why it is not
    since       INTEGER NOT NULL,           -- events behind this place in the log are for it
    breaker     TEXT    NOT NULL,
    failing     INTEGER NOT NULL,           -- 1: the last attempt failed
    health      TEXT    NOT NULL,
    due         INTEGER,                    -- when it has something to do; NULL: nothing
    node        TEXT    NOT NULL DEFAULT '',
    epoch       INTEGER NOT NULL DEFAULT 0, -- rises with each turn
    lease_until INTEGER,                    -- of the turn that goes on
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL,           -- rises with each change by a user
    UNIQUE (tenant, name)
);
CREATE INDEX webhooks_due ON webhooks (due) WHERE due IS NOT NULL;

CREATE TABLE deliveries (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,    -- the webhook-id of all its attempts
    webhook_id   TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    event_seq    INTEGER,                    -- NULL: a test
    job_id       TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    tries        INTEGER NOT NULL DEFAULT 0, -- attempts since it was last asked for
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    last_status  INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT    NOT NULL DEFAULT '',
    payload      TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    traceparent  TEXT    NOT NULL
);
CREATE INDEX deliveries_pending  ON deliveries (webhook_id, next_at) WHERE state = 'pending';
CREATE INDEX deliveries_webhook  ON deliveries (webhook_id, seq);
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE delivery_attempts (
    delivery_id TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    took        INTEGER NOT NULL, -- microseconds
    status      INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    PRIMARY KEY (delivery_id, number)
);

-- Up to where the log was read.
CREATE TABLE outbox (
    id  INTEGER PRIMARY KEY,
    pos INTEGER NOT NULL
);
INSERT INTO outbox (id, pos) VALUES (1, 0);
