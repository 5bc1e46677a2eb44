-- # What the proxy refuses, with 0A000 unless it says otherwise.
-- path: app, public
-- expect: refused 0A000

-- case: truncate
TRUNCATE users

-- case: truncate several of which one is protected
TRUNCATE logs, other.orders, app.tasks

-- case: truncate an unprotected table with CASCADE to a protected one
TRUNCATE categories CASCADE

-- case: truncate ONLY
TRUNCATE ONLY animals RESTART IDENTITY

-- case: truncate a partition
TRUNCATE measures_2025

-- case: truncate an unprotected parent of a protected child
TRUNCATE public.things

-- case: drop a table
DROP TABLE tasks

-- case: drop several tables
DROP TABLE IF EXISTS logs, memos CASCADE

-- case: drop a partition
DROP TABLE measures_2025

-- case: drop a schema with protected tables
DROP SCHEMA app CASCADE

-- case: drop a schema without CASCADE
DROP SCHEMA "Mixed Schema"

-- case: drop owned
DROP OWNED BY oracle_clerk

-- case: drop the deletion column
ALTER TABLE users DROP COLUMN deleted_at

-- case: drop the deletion column among others
ALTER TABLE users ADD COLUMN x int, DROP COLUMN IF EXISTS deleted_at CASCADE

-- case: rename the deletion column
ALTER TABLE users RENAME COLUMN deleted_at TO removed_at

-- case: rename the deletion column of a quoted table
ALTER TABLE "Weird Name" RENAME "Deleted At" TO x

-- case: change the deletion column's type
ALTER TABLE users ALTER COLUMN deleted_at TYPE timestamp

-- case: rename a table
ALTER TABLE users RENAME TO people

-- case: move a table to another schema
ALTER TABLE users SET SCHEMA public

-- case: rename the schema of protected tables
ALTER SCHEMA app RENAME TO app2

-- case: disable triggers
ALTER TABLE users DISABLE TRIGGER ALL

-- case: detach a partition
ALTER TABLE measures DETACH PARTITION measures_2025

-- case: end an inheritance
ALTER TABLE dogs NO INHERIT animals

-- case: update through a view
UPDATE user_names SET name = 'x'

-- case: delete through a view
DELETE FROM user_names

-- case: insert through a view
INSERT INTO user_names VALUES (90, 'x')

-- case: read a materialized view
SELECT * FROM order_totals

-- case: create a rule
CREATE RULE r AS ON DELETE TO users DO INSTEAD NOTHING

-- case: create a rule whose action reads
CREATE RULE r AS ON INSERT TO logs DO ALSO INSERT INTO other.orders (id, note) SELECT id, name FROM users

-- case: create a policy whose condition reads
CREATE POLICY p ON logs USING (EXISTS (SELECT FROM users u WHERE u.id = user_id))

-- case: bring every row back by a change of type
ALTER TABLE users ALTER COLUMN deleted_at TYPE timestamptz USING NULL

-- case: create a function with a body in text
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.users'

-- case: create a function with a body in PL/pgSQL
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users; END $$

-- case: create a procedure
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN TRUNCATE "Weird Name"; END $$

-- case: do
DO $$ BEGIN DELETE FROM app.users; END $$

-- case: do that reads
DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM tasks; RAISE NOTICE '%', n; END $$

-- case: do in another language clause order
DO LANGUAGE plpgsql 'BEGIN PERFORM 1 FROM orders; END'

-- case: do that quotes the name
DO $x$ BEGIN EXECUTE 'DELETE FROM app."Weird Name"'; END $x$

-- case: delete on an unprotected parent that cascades to protected rows
DELETE FROM categories WHERE id = 1

-- case: delete on an unprotected parent that cascades, in a CTE
WITH d AS (DELETE FROM app.categories RETURNING id) SELECT * FROM d

-- case: delete on an unprotected parent with USING and returning
DELETE FROM categories c USING logs l WHERE l.id = c.id RETURNING c.*

-- case: read an unprotected parent of a protected child
SELECT * FROM public.things

-- case: delete from an unprotected parent of a protected child
DELETE FROM public.things

-- case: update an unprotected parent of a protected child
UPDATE public.things SET label = 'x'

-- case: copy to a program
COPY users TO PROGRAM 'cat'

-- case: copy to a file
COPY users TO '/tmp/pgsoftproxy_oracle_must_not_exist'

-- case: copy a query to a file
COPY (SELECT * FROM users) TO '/tmp/pgsoftproxy_oracle_must_not_exist'

-- case: query_to_xml
SELECT query_to_xml('SELECT * FROM app.users', true, false, '')

-- case: table_to_xml
SELECT table_to_xml('app.users', true, false, '')

-- case: table_to_xml with its schema
SELECT pg_catalog.table_to_xml('app.users'::regclass, true, false, '')

-- case: schema_to_xml
SELECT schema_to_xml('app', true, false, '')

-- case: database_to_xml
SELECT database_to_xml(true, false, '')

-- case: cursor_to_xml
DECLARE c CURSOR FOR SELECT 1
-- next
SELECT cursor_to_xml('c', 10, true, false, '')

-- case: query_to_xml in WHERE of another query
SELECT 1 FROM logs WHERE (SELECT query_to_xml('SELECT * FROM app.users', true, false, ''))::text LIKE '%x%'

-- case: ts_stat
SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM app.users')

-- case: session_replication_role
-- expect: refused 42501
SET session_replication_role = replica

-- case: session_replication_role by set_config
-- expect: refused 42501
SELECT set_config('session_replication_role', 'replica', true)

-- case: standard_conforming_strings
SET standard_conforming_strings = off

-- case: standard_conforming_strings by set_config
SELECT set_config('standard_conforming_strings', 'off', false)

-- case: an encoding that is not safe to scan
SET client_encoding = 'SJIS'

-- case: an encoding that is not safe, by set_config
SELECT set_config('client_encoding', 'GBK', false)

-- case: an encoding that is not safe, by SET NAMES
SET NAMES 'BIG5'

-- case: on conflict do nothing without a target, where a full unique index counts deleted rows
INSERT INTO accounts (id, handle) VALUES (1, 'x'), (40, 'alpha'), (41, 'eps') ON CONFLICT DO NOTHING

-- case: a refusal inside EXPLAIN
EXPLAIN SELECT * FROM order_totals

-- case: a refusal inside PREPARE
PREPARE p AS SELECT * FROM order_totals

-- case: a refusal inside DECLARE
DECLARE c CURSOR FOR SELECT * FROM order_totals

-- case: a refusal inside create table as
CREATE TABLE made AS SELECT * FROM order_totals

-- case: a refusal inside COPY
COPY user_names TO STDOUT

-- case: a refusal after statements that worked
SELECT count(*) FROM users
-- next
DELETE FROM tasks WHERE id = 1
-- next
TRUNCATE tasks

-- case: a refusal outside a transaction
-- transaction: none
TRUNCATE users

-- case: a publication on a protected table
CREATE PUBLICATION p FOR TABLE app.users

-- case: a publication on all tables
CREATE PUBLICATION p FOR ALL TABLES

-- case: copy in the oldest syntax
COPY users TO STDOUT DELIMITERS ',' WITH NULL AS 'x'

-- case: copy in binary in the old syntax
COPY BINARY items TO STDOUT

-- case: rename a table by the words of an index
ALTER INDEX app.users RENAME TO people

-- case: rename the deletion column of a parent with ONLY and IF EXISTS
ALTER TABLE IF EXISTS app.animals RENAME COLUMN deleted_at TO x

-- case: turn a trigger into one for replicas only
ALTER TABLE users ENABLE REPLICA TRIGGER t

-- case: turn one trigger off by name
ALTER TABLE app.orders DISABLE TRIGGER USER

-- case: create a function that names a table by unicode escapes
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM app.U&"\0075sers"; END $$

-- case: create a function that names a table in upper case
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM APP.USERS'

-- case: create a function that names a table by an escaped string
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS E'SELECT count(*) FROM app.\x75sers'

-- case: create a function that names a view over a protected table
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.user_names'

-- case: create a function with a comment inside the name
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN TRUNCATE app./* x */users; END $$

-- case: do that puts a name together
DO $$ BEGIN EXECUTE 'DELETE FROM app.us' || 'ers'; END $$

-- case: do with a name by unicode escapes
DO $$ BEGIN DELETE FROM app.U&"\0075sers"; END $$

-- case: do in another language without a body that can be read
DO LANGUAGE plpgsql $$ DECLARE t text := reverse('sresu'); BEGIN EXECUTE format('TRUNCATE app.%I', t); END $$

-- case: histograms of a protected table
SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname = 'app' AND tablename = 'users'

-- case: raw statistics
SELECT stavalues1 FROM pg_statistic

-- case: read the table's file
SELECT pg_read_binary_file(pg_relation_filepath('app.users'))

-- case: standard_conforming_strings through pg_settings
UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'

-- case: standard_conforming_strings for a role
ALTER ROLE oracle_clerk SET standard_conforming_strings = off

-- case: an alias for the encoding by its quoted name
SET "Client_Encoding" = 'SJIS'

-- case: a unique index that deleted rows violate does not tell their values
-- expect: refused 23505
CREATE UNIQUE INDEX users_email_full ON users (email) WHERE id >= 10

-- case: a foreign key that deleted rows violate does not tell their values
-- expect: refused 23503
DELETE FROM tasks
-- next
ALTER TABLE tasks ADD FOREIGN KEY (title) REFERENCES accounts (handle)

-- case: an upsert that meets a deleted row whose identity cannot be set
-- expect: refused 23505
INSERT INTO tickets (code) VALUES ('T2') ON CONFLICT (code) DO UPDATE SET note = 'hit'

-- case: an upsert that meets a deleted row and assigns to a part of a column
-- expect: refused 23505
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET tags[1] = 'x'

-- case: an upsert that meets a deleted row to which others refer by another key
-- expect: refused 23503
INSERT INTO rooms VALUES (8, 'blue') ON CONFLICT (name) DO UPDATE SET name = 'x'

-- case: an upsert that revives and assigns a value of another type
-- expect: refused 42804
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET nick = 5

-- case: xmax in RETURNING of an upsert that revives
-- max-version: 17
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET points = 1 RETURNING (xmax = 0) AS inserted

-- case: a field of OLD in RETURNING of an upsert that revives
-- min-version: 18
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET points = 1 RETURNING (old).id

-- case: an upsert on the key of a deleted row
-- expect: refused 23505
INSERT INTO accounts (id, handle) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET balance = 1

-- case: do nothing on the key of a deleted row
-- expect: refused 23505
INSERT INTO accounts (id, handle) VALUES (3, 'x') ON CONFLICT (id) DO NOTHING

-- case: a soft truncate together with an unprotected table
TRUNCATE badges, logs

-- case: a soft truncate together with a table that may not be truncated
TRUNCATE users, badges

-- case: a soft truncate whose cascade reaches an unprotected table
TRUNCATE folders CASCADE

-- case: a soft truncate that restarts sequences
TRUNCATE drafts, sheets RESTART IDENTITY

-- case: truncate an unprotected table whose cascade reaches softly truncated ones
TRUNCATE categories, logs CASCADE

-- case: delete on an unprotected parent that cascades through another unprotected table
DELETE FROM areas

-- case: delete through a view of an unprotected parent that cascades
DELETE FROM category_titles WHERE id = 1

-- case: delete on an unprotected parent that cascades, in COPY
COPY (DELETE FROM categories RETURNING id) TO STDOUT

-- case: delete on an unprotected parent that cascades, prepared
PREPARE p AS DELETE FROM categories WHERE id = $1

-- case: merge that deletes from an unprotected parent that cascades
MERGE INTO categories c USING logs l ON l.id = c.id WHEN MATCHED THEN DELETE

-- case: truncate an unprotected grandparent with CASCADE
TRUNCATE areas CASCADE

-- case: a field of OLD in RETURNING of a merge that deletes
-- min-version: 18
MERGE INTO tasks t USING logs l ON l.id = t.id WHEN MATCHED THEN DELETE RETURNING (old).id

-- case: do nothing without a target where an exclusion constraint counts deleted rows
INSERT INTO shifts (span) VALUES ('[11,12)'), ('[20,21)') ON CONFLICT DO NOTHING
