-- +goose Up
-- Browsers that somebody signed in. Of a session's id and of the API key that it was
-- given for only the SHA-256 is kept.
CREATE TABLE sessions (
    digest     BLOB    PRIMARY KEY,
    credential BLOB    NOT NULL,
    tenant     TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL, -- to the minute
    idle       INTEGER NOT NULL, -- microseconds without use that end it
    expires_at INTEGER NOT NULL
);
CREATE INDEX sessions_credential ON sessions (credential, used_at);
CREATE INDEX sessions_tenant ON sessions (tenant);
CREATE INDEX sessions_expires ON sessions (expires_at);
