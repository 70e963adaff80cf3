#!/bin/sh
# Makes Temporal's two databases and brings their schemas up to the version of
# this image. Every step may be repeated.
set -eu

SQL_PASSWORD=$(cat /run/secrets/postgres_password)
export SQL_PASSWORD

prepare() { # database, schema
	export SQL_DATABASE="$1"
	temporal-sql-tool create-database
	temporal-sql-tool setup-schema --version 0.0
	temporal-sql-tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

prepare temporal temporal
prepare temporal_visibility visibility
