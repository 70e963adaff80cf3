-- +goose Up
CREATE TABLE identities (
    id      TEXT   NOT NULL PRIMARY KEY,
    owner   TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    server  TEXT   NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (owner, kind, name, server)
);

-- The secret is sealed by package vault: the database alone opens none.
CREATE TABLE credentials (
    owner       TEXT   NOT NULL,
    domain      TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    issuer      TEXT   NOT NULL,
    voms        BYTEA  NOT NULL, -- JSON
    fingerprint TEXT   NOT NULL,
    given       BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    key_id      TEXT   NOT NULL,
    sealed      BYTEA  NOT NULL,
    PRIMARY KEY (owner, domain)
);
CREATE INDEX credentials_expires ON credentials (expires);
CREATE INDEX credentials_key ON credentials (key_id);

CREATE TABLE delegations (
    id      TEXT   NOT NULL PRIMARY KEY,
    owner   TEXT   NOT NULL,
    domain  TEXT   NOT NULL,
    expires BIGINT NOT NULL,
    key_id  TEXT   NOT NULL,
    sealed  BYTEA  NOT NULL
);
CREATE INDEX delegations_expires ON delegations (expires);

CREATE TABLE waiters (
    task   TEXT   NOT NULL, -- workflow id
    owner  TEXT   NOT NULL,
    domain TEXT   NOT NULL,
    since  BIGINT NOT NULL,
    PRIMARY KEY (task, owner, domain)
);
CREATE INDEX waiters_credential ON waiters (owner, domain);
CREATE INDEX waiters_since ON waiters (since);

CREATE TABLE notices (
    id    TEXT   NOT NULL PRIMARY KEY, -- of the message
    begun BIGINT NOT NULL,
    sent  BIGINT NOT NULL -- 0: not known to be
);
CREATE INDEX notices_begun ON notices (begun);
