-- +goose Up
-- Times are Unix time in microseconds, by the clock of the store.

CREATE TABLE bindings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tasks (
    id        TEXT    NOT NULL PRIMARY KEY,
    owner     TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    final     INTEGER NOT NULL,
    requested INTEGER NOT NULL,
    as_of     INTEGER NOT NULL,
    state     BLOB    NOT NULL -- transfer.Task as JSON
);
CREATE INDEX tasks_newest ON tasks (requested DESC, id);
CREATE INDEX tasks_owner ON tasks (owner, requested DESC, id);

-- The epoch counter is one for all leases, and outlives them: an epoch is
-- never given twice, although the row of a lease goes a day after its end.
CREATE TABLE epochs (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
);
INSERT INTO epochs (one, last) VALUES (1, 0);

CREATE TABLE leases (
    task    TEXT    NOT NULL,
    chunk   TEXT    NOT NULL,
    epoch   INTEGER NOT NULL, -- 0: it was given back
    begun   INTEGER NOT NULL, -- the attempt; of those that began earlier none may take the lease
    holder  TEXT    NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (task, chunk)
) WITHOUT ROWID;
CREATE INDEX leases_expires ON leases (expires);

CREATE TABLE sessions (
    endpoint TEXT    NOT NULL,
    task     TEXT    NOT NULL,
    chunk    TEXT    NOT NULL,
    sessions INTEGER NOT NULL,
    most     INTEGER NOT NULL, -- the endpoint's limit when the lease was taken
    PRIMARY KEY (endpoint, task, chunk),
    FOREIGN KEY (task, chunk) REFERENCES leases (task, chunk) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX sessions_lease ON sessions (task, chunk);

CREATE TABLE capabilities (
    endpoint TEXT    NOT NULL PRIMARY KEY,
    caps     BLOB    NOT NULL, -- endpoints.Caps as JSON
    expires  INTEGER NOT NULL
);
