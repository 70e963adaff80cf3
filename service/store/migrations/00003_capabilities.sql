-- +goose Up
-- What a server can do alone, each session learns at its login. What a pair of
-- servers cannot costs every task most of a minute to find out, and is kept.
DROP TABLE capabilities;
CREATE TABLE capabilities (
    source      TEXT   NOT NULL,
    destination TEXT   NOT NULL,
    apart       TEXT   NOT NULL, -- why no data channel comes up from one to the other
    expires     BIGINT NOT NULL,
    PRIMARY KEY (source, destination)
);
