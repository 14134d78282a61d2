-- +goose Up
-- How many transfers of a tenant run on a node, so that the nodes share its
-- bandwidth limit, and the global one. A row counts until its time is over; a node
-- prolongs its own.

CREATE TABLE transfers (
    node   TEXT    NOT NULL,
    tenant TEXT    NOT NULL,
    n      INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (node, tenant)
);
