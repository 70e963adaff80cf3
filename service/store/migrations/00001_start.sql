-- +goose Up
-- The names of types are PostgreSQL's, which SQLite takes as well: a name with
-- INT in it is an integer, and a blob stays one under any name
-- (sqlite.org/datatype3.html, 3.1). So there is one schema.
--
-- Times are Unix time in microseconds, by the clock of the store.

CREATE TABLE bindings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tasks (
    id        TEXT   NOT NULL PRIMARY KEY,
    owner     TEXT   NOT NULL,
    status    TEXT   NOT NULL,
    final     BIGINT NOT NULL,
    requested BIGINT NOT NULL,
    as_of     BIGINT NOT NULL,
    state     BYTEA  NOT NULL -- transfer.Task as JSON
);
CREATE INDEX tasks_newest ON tasks (requested DESC, id);
CREATE INDEX tasks_owner ON tasks (owner, requested DESC, id);

-- The epoch counter is one for all leases, and outlives them: an epoch is
-- never given twice, although the row of a lease goes a day after its end.
CREATE TABLE epochs (
    one  BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    last BIGINT NOT NULL
);
INSERT INTO epochs (one, last) VALUES (1, 0);

CREATE TABLE leases (
    task    TEXT   NOT NULL,
    chunk   TEXT   NOT NULL,
    epoch   BIGINT NOT NULL, -- 0: it was given back
    begun   BIGINT NOT NULL, -- the attempt; of those that began earlier none may take the lease
    holder  TEXT   NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (task, chunk)
);
CREATE INDEX leases_expires ON leases (expires);

CREATE TABLE sessions (
    endpoint TEXT   NOT NULL,
    task     TEXT   NOT NULL,
    chunk    TEXT   NOT NULL,
    sessions BIGINT NOT NULL,
    most     BIGINT NOT NULL, -- the endpoint's limit when the lease was taken
    PRIMARY KEY (endpoint, task, chunk),
    FOREIGN KEY (task, chunk) REFERENCES leases (task, chunk) ON DELETE CASCADE
);
CREATE INDEX sessions_lease ON sessions (task, chunk);

CREATE TABLE capabilities (
    endpoint TEXT   NOT NULL PRIMARY KEY,
    caps     BYTEA  NOT NULL, -- endpoints.Caps as JSON
    expires  BIGINT NOT NULL
);
