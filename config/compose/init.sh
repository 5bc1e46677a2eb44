#!/bin/bash
# Runs once, in the container of PostgreSQL, when its volume is empty: the proxy's role, and a table to try it on.
set -euo pipefail

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set password="$(cat "${CONTROL_PASSWORD_FILE:-/run/secrets/control_password}")" <<'SQL'
CREATE ROLE pgsoftproxy LOGIN PASSWORD :'password';
CREATE SCHEMA app;
CREATE TABLE app.notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    words text NOT NULL,
    deleted_at timestamptz
);
INSERT INTO app.notes (words) VALUES ('delete me'), ('keep me');
SQL
