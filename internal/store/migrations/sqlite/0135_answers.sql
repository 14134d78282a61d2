-- +goose Up
-- Answers to calls that carried an idempotency key, each of its caller. One of steps
-- that is not done broke off after so many transactions: who repeats it goes on.
CREATE TABLE answers (
    tenant    TEXT    NOT NULL,
    principal TEXT    NOT NULL, -- empty: anybody of the tenant, from before callers were told apart
    key       TEXT    NOT NULL,
    digest    BLOB    NOT NULL,
    answer    BLOB    NOT NULL,
    steps     INTEGER NOT NULL,
    done      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (tenant, key, principal)
);
CREATE INDEX answers_at ON answers (at);
INSERT INTO answers (tenant, principal, key, digest, answer, steps, done, at)
    SELECT tenant, '', key, digest, answer, 1, 1, at FROM idempotency;
DROP TABLE idempotency;
