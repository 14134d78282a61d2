-- +goose Up
-- Who may call. Of a key only its SHA-256 is kept, and how it begins.

CREATE TABLE api_keys (
    id           TEXT    PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    digest       BLOB    NOT NULL UNIQUE,
    role         TEXT    NOT NULL,
    scopes       TEXT    NOT NULL DEFAULT '', -- permissions, separated by spaces; empty: all of the role
    created_by   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
);
CREATE INDEX api_keys_tenant ON api_keys (tenant, id);
