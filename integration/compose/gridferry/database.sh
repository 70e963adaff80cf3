#!/bin/sh
# Makes gridferry's account and database in the stack's PostgreSQL. It may be
# repeated: the account then gets the password that the secret has now.
set -eu

PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname=postgres <<'END'
\set password `cat /run/secrets/gridferry_password`
SELECT 'CREATE ROLE gridferry LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gridferry') \gexec
ALTER ROLE gridferry PASSWORD :'password';
SELECT 'CREATE DATABASE gridferry OWNER gridferry'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'gridferry') \gexec
END
