-- +goose Up
-- What worked between two endpoints for files of a grain: the next task starts
-- from it. It is a hint, and forgotten when it is old.
CREATE TABLE pairs (
    source      TEXT   NOT NULL,
    destination TEXT   NOT NULL,
    grain       TEXT   NOT NULL,
    known       TEXT   NOT NULL, -- transfer.Known, JSON
    expires     BIGINT NOT NULL,
    PRIMARY KEY (source, destination, grain)
);
