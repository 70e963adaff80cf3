-- +goose Up
-- What servers can do is learned by logging in to them, which every task does,
-- and is kept with the session: a second copy of it saved nobody anything.
DROP TABLE capabilities;
