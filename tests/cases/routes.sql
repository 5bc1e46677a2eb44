-- # Ways by which rows could come out, or be removed, past the rewriter: by other names, by DDL, inside the server.
-- path: app, public
-- expect: refused 0A000

-- case: a view renamed to what was harmless
ALTER VIEW log_messages RENAME TO parked
-- next
ALTER VIEW user_names RENAME TO log_messages
-- next
UPDATE log_messages SET message = 'x'

-- case: a view renamed to what was harmless, and read
-- expect: agree
-- origins: ignored
ALTER VIEW log_messages RENAME TO parked
-- next
ALTER VIEW user_names RENAME TO log_messages
-- next
SELECT * FROM log_messages ORDER BY id

-- case: a view renamed to what was harmless, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
ALTER VIEW log_messages RENAME TO parked
-- next
ALTER VIEW user_names RENAME TO log_messages
-- next
SELECT * FROM log_messages ORDER BY id

-- case: a materialized view renamed
ALTER MATERIALIZED VIEW order_totals RENAME TO made
-- next
SELECT * FROM made

-- case: a materialized view renamed, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
ALTER MATERIALIZED VIEW order_totals RENAME TO made
-- next
SELECT * FROM made

-- case: a function renamed
ALTER FUNCTION routines.user_count() RENAME TO harmless
-- next
SELECT routines.harmless()

-- case: a function renamed, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
ALTER FUNCTION routines.user_count() RENAME TO harmless
-- next
SELECT routines.harmless()

-- case: the schema of a function renamed, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
ALTER SCHEMA routines RENAME TO made
-- next
SELECT made.user_count()

-- case: a function moved to another schema, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
ALTER ROUTINE routines.user_count SET SCHEMA other
-- next
SELECT other.user_count()

-- case: an aggregate over a function that reads
CREATE AGGREGATE other.made(bigint) (sfunc = routines.step, stype = bigint, initcond = '0')

-- case: an operator over a function that reads
CREATE OPERATOR other.### (leftarg = bigint, rightarg = bigint, function = routines.step)

-- case: a cast over a function that reads
CREATE CAST (app.users AS text) WITH FUNCTION routines.summary(app.users)

-- case: a domain over a function that reads
CREATE DOMAIN other.made AS bigint CHECK (VALUE < routines.user_count())

-- case: a default over a function that reads
ALTER TABLE logs ALTER COLUMN id SET DEFAULT routines.user_count()

-- case: a check over a function that reads
CREATE TABLE other.made (id int CHECK (id < routines.user_count()))

-- case: an index over a function that reads
CREATE INDEX ON logs ((routines.step(id, id)))

-- case: a trigger whose condition calls a function that reads
CREATE FUNCTION other.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'
-- next
CREATE TRIGGER t BEFORE INSERT ON logs FOR EACH ROW WHEN (routines.user_count() > 1) EXECUTE FUNCTION other.t()

-- case: a policy whose condition calls a function that reads
CREATE POLICY p ON logs USING (routines.user_count() > id)

-- case: a rule whose action calls a function that reads
CREATE RULE r AS ON INSERT TO logs DO ALSO SELECT routines.user_count()

-- case: a parent given to a protected table
CREATE TABLE other.made (id bigint)
-- next
ALTER TABLE users INHERIT other.made
-- next
SELECT * FROM other.made

-- case: a parent given to a protected table, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
CREATE TABLE other.made (id bigint)
-- next
ALTER TABLE users INHERIT other.made
-- next
SELECT * FROM other.made

-- case: a protected table attached to an unprotected one
CREATE TABLE other.made (id int NOT NULL, title text NOT NULL, mood app.mood, is_deleted boolean NOT NULL) PARTITION BY LIST (is_deleted)
-- next
ALTER TABLE other.made ATTACH PARTITION tasks DEFAULT
-- next
SELECT * FROM other.made

-- case: a protected table attached to an unprotected one, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
CREATE TABLE other.made (id int NOT NULL, title text NOT NULL, mood app.mood, is_deleted boolean NOT NULL) PARTITION BY LIST (is_deleted)
-- next
ALTER TABLE other.made ATTACH PARTITION tasks DEFAULT
-- next
SELECT * FROM other.made

-- case: a key that cascades to a protected table
ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES logs ON DELETE CASCADE NOT VALID
-- next
DELETE FROM logs WHERE id = 1

-- case: a key that cascades to a protected table, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES logs ON DELETE CASCADE NOT VALID
-- next
DELETE FROM logs WHERE id = 1

-- case: a view made of a table by a rule
CREATE TABLE other.made (id bigint)
-- next
CREATE RULE "_RETURN" AS ON SELECT TO other.made DO INSTEAD SELECT id FROM users

-- case: a server that may be this one
CREATE SERVER made FOREIGN DATA WRAPPER nobody

-- case: a foreign table
CREATE FOREIGN TABLE other.made (id int) SERVER nobody

-- case: a foreign schema
IMPORT FOREIGN SCHEMA app FROM SERVER nobody INTO other

-- case: a table like a protected one has no rows
-- expect: agree
CREATE TABLE other.made (LIKE users INCLUDING ALL)
-- next
SELECT * FROM other.made

-- case: a table from a prepared read
-- expect: agree
PREPARE p (int) AS SELECT id, name FROM users WHERE id > $1
-- next
CREATE TABLE other.made AS EXECUTE p (2) WITH DATA
-- next
SELECT * FROM other.made ORDER BY id

-- case: a change of type whose error would tell a deleted value
-- expect: refused 22000
ALTER TABLE products ALTER COLUMN title TYPE int USING CASE WHEN title LIKE '%-9d41%' THEN title::int ELSE 1 END

-- case: an index whose error would tell a deleted value
-- expect: refused 22000
CREATE INDEX ON users ((CASE WHEN name LIKE '%-9d41%' THEN name::int ELSE 1 END))

-- case: a check whose error would tell a deleted value
-- expect: refused 22000
ALTER TABLE users ADD CHECK (CASE WHEN name LIKE '%-9d41%' THEN name::int ELSE 1 END > 0)

-- case: statistics whose error would tell a deleted value
-- expect: refused 22000
CREATE STATISTICS other.made ON (CASE WHEN name LIKE '%-9d41%' THEN name::int ELSE 1 END), id FROM users
-- next
ANALYZE users

-- case: a refresh whose error would tell a deleted value
-- expect: refused 22000
REFRESH MATERIALIZED VIEW order_numbers

-- case: a view renamed and read in one batch
-- protocol: simple
ALTER VIEW log_messages RENAME TO parked; ALTER VIEW user_names RENAME TO log_messages; SELECT * FROM log_messages

-- case: a function renamed and called in one batch
-- protocol: simple
ALTER FUNCTION routines.user_count RENAME TO harmless; SELECT routines.harmless()

-- case: an unprotected table renamed and read in one batch
-- protocol: simple
-- expect: agree
ALTER TABLE logs RENAME TO made; SELECT * FROM made ORDER BY id

-- case: a new table in a transaction above read committed
-- expect: agree
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
CREATE TEMP TABLE made AS SELECT id FROM users
-- next
ALTER TABLE made ADD COLUMN x int
-- next
SELECT * FROM made ORDER BY id

-- case: a block that alters, above read committed
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
DO $$ BEGIN ALTER FUNCTION routines.user_count RENAME TO harmless; END $$
-- next
SELECT routines.harmless()

-- case: the table of another table's long values
SELECT * FROM pg_toast.pg_toast_1

-- case: the table of another table's long values, by the search_path
SET LOCAL search_path = pg_toast
-- next
DELETE FROM pg_toast_1 WHERE chunk_id = 0

-- case: a CTE named like a table of long values
-- expect: agree
WITH pg_toast_1 AS (SELECT id FROM users) SELECT * FROM pg_toast_1 ORDER BY id

-- case: reading a view over histograms
SELECT * FROM histograms

-- case: reading a view over a view over histograms
SELECT count(*) FROM histogram_counts

-- case: a procedure that drops what hides a protected table
-- path: other, app
-- expect: agree
CREATE PROCEDURE other.p() LANGUAGE plpgsql AS $$ BEGIN DROP TABLE other.orders; END $$
-- next
CALL other.p()
-- next
SELECT note FROM orders ORDER BY id

-- case: a function that calls one which renames what hides a protected table
-- path: other, app
-- expect: agree
CREATE FUNCTION other.f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE other.orders RENAME TO parked; RETURN 1; END $$
-- next
CREATE FUNCTION other.g() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN other.f(); END $$
-- next
SELECT other.g()
-- next
SELECT note FROM orders ORDER BY id

-- case: a function that renames what hides a protected table, above read committed
-- path: other, app
-- expect: agree
-- setup: SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
-- setup: CREATE FUNCTION other.f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE other.orders RENAME TO parked; RETURN 1; END $$
SELECT other.f()
-- next
SELECT note FROM orders ORDER BY id

-- case: a function that turns triggers off while it runs
-- expect: refused 42501
CREATE FUNCTION quiet() RETURNS int LANGUAGE sql SET session_replication_role = replica AS 'SELECT 1'

-- case: a procedure with a parsed body that turns triggers off while it runs
-- expect: refused 42501
CREATE PROCEDURE quiet() SET "session_replication_role" TO 'replica' BEGIN ATOMIC SELECT 1; END

-- case: a function that is altered to turn triggers off while it runs
-- expect: refused 42501
ALTER FUNCTION twice(int) STRICT SET session_replication_role TO replica

-- case: a role whose sessions would begin with triggers turned off
-- expect: refused 42501
ALTER ROLE CURRENT_USER SET session_replication_role = replica

-- case: a database whose sessions would begin with triggers turned off
-- expect: refused 42501
ALTER DATABASE postgres SET session_replication_role = replica

-- case: a function whose body turns triggers off
-- expect: refused 42501
CREATE FUNCTION quiet() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL Session_Replication_Role = replica; END $$

-- case: a function whose body turns triggers off by set_config
-- expect: refused 42501
CREATE FUNCTION quiet() RETURNS text LANGUAGE sql AS 'SELECT set_config($$session_replication_role$$, $$replica$$, false)'

-- case: a function whose body turns triggers off in a text
-- expect: refused 42501
CREATE FUNCTION quiet() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET SESSION session_replication_role TO replica'; END $$

-- case: a function that asks whether triggers are turned off
-- expect: agree
CREATE FUNCTION is_quiet() RETURNS boolean LANGUAGE sql AS 'SELECT current_setting(''session_replication_role'') = ''replica'''
-- next
SELECT is_quiet()

-- case: a function with a setting of another kind
-- expect: agree
CREATE FUNCTION patient() RETURNS text LANGUAGE sql SET work_mem = '8MB' AS 'SELECT current_setting(''work_mem'')'
-- next
SELECT patient()
-- next
ALTER FUNCTION patient() SET work_mem = '16MB' RESET ALL
