-- +goose Up
-- The one row that a health check changes, to see whether the database takes it.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
);
