-- +goose Up
-- Named defaults for jobs, each tenant's own.

CREATE TABLE profiles (
    tenant     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    text       TEXT    NOT NULL, -- as it was put
    json       INTEGER NOT NULL, -- 1: text is JSON, else YAML
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
);
