-- # What passes untouched, also on protected tables.
-- path: app, public

-- case: show
SHOW server_version_num

-- case: set and show
SET LOCAL work_mem = '5MB'
-- next
SHOW work_mem

-- case: show all's columns
-- compare: status
SHOW ALL

-- case: create an index
CREATE INDEX users_city ON users (city)

-- case: create an index concurrently in a transaction
-- expect: error 25001
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS users_email_live ON app.users (email)

-- case: analyze
ANALYZE users

-- case: vacuum
-- transaction: none
VACUUM app.users

-- case: vacuum in a transaction
-- expect: error 25001
VACUUM users

-- case: grant and revoke
GRANT SELECT ON users TO PUBLIC
-- next
REVOKE INSERT ON users FROM PUBLIC

-- case: lock
LOCK TABLE users IN SHARE MODE

-- case: comment
COMMENT ON TABLE users IS 'people'
-- next
SELECT obj_description('app.users'::regclass)

-- case: add a column
-- state: live
ALTER TABLE users ADD COLUMN phone text DEFAULT 'none'
-- next
SELECT id, phone FROM users ORDER BY id

-- case: drop another column
-- state: live
ALTER TABLE users DROP COLUMN age
-- next
SELECT * FROM users ORDER BY id

-- case: rename another column
-- state: live
ALTER TABLE users RENAME COLUMN city TO town
-- next
SELECT id, town FROM users ORDER BY id

-- case: set a default and NOT NULL
ALTER TABLE orders ALTER COLUMN note SET DEFAULT 'none', ALTER COLUMN total SET STATISTICS 50

-- case: create a table, an index, and use it
CREATE TABLE other.fresh (id int PRIMARY KEY, note text)
-- next
INSERT INTO other.fresh SELECT id, name FROM users
-- next
SELECT count(*) FROM other.fresh
-- next
DELETE FROM other.fresh WHERE id < 5
-- next
DROP TABLE other.fresh

-- case: truncate an unprotected table
TRUNCATE logs

-- case: drop an unprotected table
DROP TABLE other.orders

-- case: create a sequence and use it
CREATE SEQUENCE other.seq
-- next
SELECT nextval('other.seq'), currval('other.seq')

-- case: create a schema
CREATE SCHEMA fresh
-- next
DROP SCHEMA fresh

-- case: create an enum and a domain
CREATE TYPE other.size AS ENUM ('s', 'm')
-- next
SELECT 's'::other.size

-- case: create a function that names nothing protected
CREATE FUNCTION other.plus(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2'
-- next
SELECT other.plus(1, 2)

-- case: do that names nothing protected
DO $$ BEGIN PERFORM 1; RAISE NOTICE 'hello %', 1; END $$

-- case: read an unprotected view
SELECT * FROM log_messages ORDER BY id

-- case: delete through an unprotected view
DELETE FROM log_messages WHERE id = 1

-- case: notify and listen
LISTEN channel
-- next
UNLISTEN *

-- case: savepoints
SAVEPOINT a
-- next
SAVEPOINT b
-- next
RELEASE SAVEPOINT b
-- next
ROLLBACK TO a

-- case: a savepoint that is not there
-- expect: error 3B001
ROLLBACK TO nope

-- case: set transaction
SET TRANSACTION READ ONLY
-- next
SELECT count(*) FROM users

-- case: a write in a read-only transaction
-- expect: error 25006
SET TRANSACTION READ ONLY
-- next
INSERT INTO logs (id) VALUES (1000)

-- case: a delete in a read-only transaction
-- compare: status
-- expect: error 25006
SET TRANSACTION READ ONLY
-- next
DELETE FROM users WHERE id = 5

-- case: constraints deferred
SET CONSTRAINTS ALL DEFERRED

-- case: checkpoint
CHECKPOINT

-- case: load and reset
RESET work_mem

-- case: discard plans
DISCARD PLANS

-- case: reindex
REINDEX TABLE users

-- case: cluster
-- expect: error 42704
CLUSTER users

-- case: security label without a provider
-- expect: error 22023
SECURITY LABEL ON TABLE users IS 'x'

-- case: statistics
CREATE STATISTICS other.stat ON id, city FROM app.users

-- case: a policy
CREATE POLICY p ON users FOR SELECT USING (true)

-- case: refresh a materialized view, which nobody reads through the proxy
REFRESH MATERIALIZED VIEW order_totals

-- case: a role
-- compare: status
SELECT current_user = session_user, pg_backend_pid() > 0

-- case: an extension that is there
-- compare: status
CREATE EXTENSION IF NOT EXISTS plpgsql

-- case: an event of an advisory lock
SELECT pg_advisory_xact_lock(42), pg_try_advisory_xact_lock(42)

-- case: large values
SELECT length(repeat('x', 1000000)), repeat('ab', 50000)

-- case: every basic type
SELECT 1::smallint, 1::int, 1::bigint, 1.5::real, 1.5::float8, 1.50::numeric(10, 2), true, 'c'::char(3), 'v'::varchar(9), 't'::text,
    '\xdeadbeef'::bytea, '2026-01-01'::date, '12:00'::time, '12:00+01'::timetz, '1 day'::interval, '{1,NULL,2}'::int[],
    '{"a": 1}'::json, '10.0.0.1'::inet, '(1,2)'::point, int4range(1, 5), '00000000-0000-0000-0000-000000000001'::uuid, NULL

-- case: a null parameter
-- bind: [null, "a"]
SELECT $1::int IS NULL, $2::text

-- case: a parameter of unknown type
-- bind: ["5"]
SELECT id FROM users WHERE id = $1

-- case: many columns
SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30

-- case: many rows
SELECT g, md5(g::text) FROM generate_series(1, 3000) g ORDER BY g

-- case: a notice from the server
DROP TABLE IF EXISTS other.nothing_here

-- case: a warning about a transaction
BEGIN

-- case: merge on unprotected tables
MERGE INTO logs l USING other.orders o ON o.id = l.id WHEN MATCHED THEN UPDATE SET message = 'm' WHEN NOT MATCHED THEN DO NOTHING

-- case: a merge that deletes from an unprotected table
MERGE INTO logs l USING public.users u ON u.id = l.user_id WHEN MATCHED THEN DELETE

-- case: two-phase commit is refused by the server without a name
-- expect: error 42601
PREPARE TRANSACTION

-- case: a very long IN list
SELECT count(*) FROM users WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
