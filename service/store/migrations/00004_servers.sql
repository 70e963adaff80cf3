-- +goose Up
-- What operators have taken out of use.
CREATE TABLE drains (
    name   TEXT   NOT NULL PRIMARY KEY, -- of an endpoint, or HOST:PORT
    by_who TEXT   NOT NULL,
    reason TEXT   NOT NULL,
    since  BIGINT NOT NULL
);

-- Servers that a worker leaves out, for others to look at.
CREATE TABLE down (
    server  TEXT   NOT NULL,
    by_who  TEXT   NOT NULL, -- the worker
    why     TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (server, by_who)
);

-- Until when what was drawn of an endpoint's limited rate grows back.
CREATE TABLE rations (
    endpoint TEXT   NOT NULL,
    what     TEXT   NOT NULL,
    until    BIGINT NOT NULL,
    PRIMARY KEY (endpoint, what)
);
