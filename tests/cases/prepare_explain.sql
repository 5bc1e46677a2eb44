-- # SQL-level PREPARE and EXECUTE, EXPLAIN.
-- path: app, public

-- case: prepare and execute a read
PREPARE p AS SELECT id, name FROM users ORDER BY id
-- next
EXECUTE p

-- case: prepare with parameters
PREPARE p (bigint, text) AS SELECT id FROM users WHERE id > $1 OR city = $2 ORDER BY id
-- next
EXECUTE p (6, 'London')
-- next
EXECUTE p (100, 'nowhere')

-- case: prepare and execute a delete
PREPARE p AS DELETE FROM orders WHERE id = $1
-- next
EXECUTE p (100)
-- next
EXECUTE p (100)
-- next
EXECUTE p (105)

-- case: prepare a delete with returning
PREPARE p (bigint) AS DELETE FROM orders WHERE user_id = $1 RETURNING *
-- next
EXECUTE p (1)

-- case: prepare an update
PREPARE p AS UPDATE users SET name = $1 WHERE id = $2 OR city = $3
-- next
EXECUTE p ('X', 4, 'Paris')

-- case: prepare an insert from a select
PREPARE p AS INSERT INTO logs (id, message) SELECT id + $1, name FROM users
-- next
EXECUTE p (500)

-- case: prepare an unprotected delete
PREPARE p AS DELETE FROM logs WHERE id = $1
-- next
EXECUTE p (1)

-- case: deallocate
PREPARE p AS SELECT 1
-- next
DEALLOCATE p
-- next
PREPARE p AS DELETE FROM tasks WHERE id = 1
-- next
EXECUTE p

-- case: deallocate all and prepare a read of the name of a delete
PREPARE p AS DELETE FROM tasks WHERE id = 1
-- next
DEALLOCATE ALL
-- next
PREPARE p AS UPDATE tasks SET title = 'u' WHERE id = 1
-- next
EXECUTE p

-- case: execute as the source of a table
-- protocol: simple
PREPARE p AS SELECT id, name FROM users
-- next
CREATE TEMP TABLE made AS EXECUTE p
-- next
SELECT count(*) FROM made

-- case: a quoted statement name
PREPARE "My P" AS DELETE FROM tasks WHERE id < 3
-- next
EXECUTE "My P"

-- case: prepare a delete in a CTE
PREPARE p AS WITH d AS (DELETE FROM tasks RETURNING id) SELECT count(*) FROM d
-- next
EXECUTE p

-- case: execute what is not prepared
-- expect: error 26000
EXECUTE nothing

-- case: prepare twice
-- expect: error 42P05
PREPARE p AS SELECT * FROM users
-- next
PREPARE p AS SELECT * FROM orders

-- case: prepare with an unknown column keeps its position
-- expect: error 42703
PREPARE p AS SELECT u.id, u.nope FROM users u WHERE u.id = $1

-- case: explain a read
-- compare: status
EXPLAIN SELECT * FROM users

-- case: explain a delete
-- compare: status
EXPLAIN DELETE FROM users WHERE id = 4

-- case: explain analyze deletes
-- compare: status
EXPLAIN ANALYZE DELETE FROM orders WHERE id = 100

-- case: explain with options
-- compare: status
EXPLAIN (ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off, FORMAT json) SELECT u.* FROM users u LEFT JOIN orders o ON o.user_id = u.id

-- case: explain analyze in the old syntax
-- compare: status
EXPLAIN ANALYZE VERBOSE UPDATE users SET age = 1 WHERE id = 4 OR id = 5

-- case: explain an execute
-- compare: status
PREPARE p AS DELETE FROM orders WHERE id = $1
-- next
EXPLAIN (ANALYZE, COSTS off) EXECUTE p (100)

-- case: explain a create table as
-- compare: status
-- protocol: simple
EXPLAIN (COSTS off) CREATE TABLE app.made AS SELECT * FROM users

-- case: explain an error
-- expect: error 42703
EXPLAIN SELECT nope FROM users

-- case: explain a cursor
-- compare: status
EXPLAIN DECLARE c CURSOR FOR SELECT * FROM users

-- case: explain analyze of a soft delete leaves the row
-- compare: status
EXPLAIN (ANALYZE, TIMING off) DELETE FROM tasks
-- next
SELECT count(*) FROM tasks

-- case: a prepared read follows the path to a protected table
-- path: public
PREPARE p AS SELECT count(*), max(id) FROM users
-- next
EXECUTE p
-- next
SET LOCAL search_path = app
-- next
EXECUTE p

-- case: a prepared read works again under its own path
-- path: public
PREPARE p AS SELECT count(*), max(id) FROM users
-- next
SET LOCAL search_path = app
-- next
SELECT count(*), max(id) FROM users
-- next
SET LOCAL search_path = public
-- next
EXECUTE p

-- case: a prepared delete follows the path to a protected table
-- path: public
PREPARE p AS DELETE FROM users WHERE id = $1
-- next
SET LOCAL search_path = app
-- next
EXECUTE p (9)
-- next
EXECUTE p (9)

-- case: a prepared delete follows the path to an unprotected table
-- path: app
PREPARE p AS DELETE FROM users WHERE id = $1
-- next
SET LOCAL search_path = public
-- next
EXECUTE p (1)

-- case: a prepared read follows the path inside CREATE TABLE AS
-- path: public
-- protocol: simple
PREPARE p AS SELECT id, email FROM users
-- next
SET LOCAL search_path = app
-- next
CREATE TEMP TABLE made AS EXECUTE p
-- next
SELECT * FROM made ORDER BY id

-- case: a prepared delete follows the path inside EXPLAIN
-- path: public
-- compare: status
PREPARE p AS DELETE FROM users WHERE id = $1
-- next
SET LOCAL search_path = app
-- next
EXPLAIN (ANALYZE, COSTS off) EXECUTE p (9)

-- case: a prepared read looks past a dropped table
-- path: other, app
PREPARE p AS SELECT count(*) FROM orders
-- next
EXECUTE p
-- next
DROP TABLE other.orders
-- next
EXECUTE p

-- case: a prepared read follows a role to another schema
-- path: "$user", app
PREPARE p AS SELECT count(*) FROM tasks
-- next
SET LOCAL ROLE oracle_clerk
-- next
EXECUTE p

-- case: prepare and execute in one batch with a path in between
-- path: public
-- protocol: simple
PREPARE p AS SELECT count(*), max(id) FROM users; SET LOCAL search_path = app; EXECUTE p; EXECUTE p;
SET LOCAL search_path = public; EXECUTE p -- and back

-- case: a prepared read with declared parameters is prepared again with them
-- path: public
-- expect: error 42601
PREPARE p (int, text, numeric(6, 2)) AS SELECT id, $2, $3, pg_typeof($1) FROM users WHERE id > $1 ORDER BY id -- all
-- next
EXECUTE p (0, 'a', 1.239)
-- next
SET LOCAL search_path = app
-- next
EXECUTE p ('3', 'b', 2.2)
-- next
EXECUTE p (1, 'c')

-- case: a name in unicode escapes with a comment behind it is prepared again
-- path: public
-- protocol: simple
-- expect: error 26000
/* first */ PREPARE U&"d!0061ta" UESCAPE '!' -- the name
    AS SELECT count(*) FROM users
-- next
SET LOCAL search_path = app; EXECUTE data; DEALLOCATE U&"\0064ata"; EXECUTE data

-- case: a statement that is prepared again keeps its name
-- path: public
-- compare: status
-- expect: error 42P05
PREPARE p AS SELECT count(*) FROM users
-- next
SET LOCAL search_path = app
-- next
EXECUTE p
-- next
SELECT name, parameter_types, from_sql FROM pg_prepared_statements
-- next
PREPARE p AS SELECT 1

-- case: a prepared read whose column is gone reports the place in its PREPARE
-- path: public
-- expect: error 42703
PREPARE p (int) AS SELECT id,   email, id + $1 FROM users
-- next
SET LOCAL search_path = app
-- next
SELECT count(*) FROM users
-- next
ALTER TABLE app.users RENAME COLUMN email TO mail
-- next
EXECUTE p (1)

-- case: a statement that cannot be prepared again is still there under its own path
-- path: public
-- expect: error 26000
PREPARE p AS SELECT id, email FROM users
-- next
SAVEPOINT s
-- next
SET LOCAL search_path = nowhere, app
-- next
ALTER TABLE app.users RENAME COLUMN email TO mail
-- next
EXECUTE p
-- next
EXPLAIN EXECUTE p
-- next
ROLLBACK TO s
-- next
EXECUTE p
-- next
DEALLOCATE p
-- next
EXECUTE p

-- case: a statement prepared in a transaction that is rolled back is prepared again
-- transaction: none
PREPARE p AS SELECT count(*), max(id) FROM users
-- next
BEGIN
-- next
SET LOCAL search_path = app
-- next
EXECUTE p
-- next
ROLLBACK
-- next
EXECUTE p
-- next
DEALLOCATE p

-- case: nothing is prepared again in a transaction that failed
-- transaction: none
PREPARE p AS SELECT count(*), max(id) FROM users
-- next
BEGIN
-- next
SET LOCAL search_path = app
-- next
SELECT 1 / 0
-- next
EXECUTE p
-- next
ROLLBACK
-- next
EXECUTE p
-- next
DEALLOCATE p

-- case: an execute that is refused in a batch follows what came before it
-- protocol: simple
-- expect: error 26000
SELECT 1 AS one; EXECUTE nothing; SELECT 2 AS two

-- case: an execute of too few parameters
-- path: public
-- expect: error 42601
PREPARE p AS SELECT id + $1 FROM users WHERE id = $2
-- next
SET LOCAL search_path = app
-- next
EXECUTE p (1)

-- case: a statement prepared in a transaction that failed is still there
-- transaction: none
PREPARE p AS DELETE FROM app.tasks WHERE id = 99
-- next
BEGIN
-- next
SELECT 1 / 0
-- next
ROLLBACK
-- next
EXECUTE p
