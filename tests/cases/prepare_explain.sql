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

-- case: a prepared read does not follow the path to a protected table
-- path: public
-- expect: refused 0A000
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

-- case: a prepared delete does not follow the path to a protected table
-- path: public
-- expect: refused 0A000
PREPARE p AS DELETE FROM users WHERE id = $1
-- next
SET LOCAL search_path = app
-- next
EXECUTE p (5)

-- case: a prepared delete does not follow the path to an unprotected table
-- path: app
-- expect: refused 0A000
PREPARE p AS DELETE FROM users WHERE id = $1
-- next
SET LOCAL search_path = public
-- next
EXECUTE p (1)

-- case: a prepared read does not follow the path inside CREATE TABLE AS
-- path: public
-- expect: refused 0A000
PREPARE p AS SELECT id, email FROM users
-- next
SET LOCAL search_path = app
-- next
CREATE TEMP TABLE made AS EXECUTE p

-- case: a prepared read does not follow the path inside EXPLAIN
-- path: public
-- expect: refused 0A000
PREPARE p AS SELECT id, email FROM users
-- next
SET LOCAL search_path = app
-- next
EXPLAIN ANALYZE EXECUTE p

-- case: a prepared read does not look past a dropped table
-- path: other, app
-- expect: refused 0A000
PREPARE p AS SELECT count(*) FROM orders
-- next
EXECUTE p
-- next
DROP TABLE other.orders
-- next
EXECUTE p

-- case: a prepared read does not follow a role to another schema
-- path: "$user", app
-- expect: refused 0A000
PREPARE p AS SELECT count(*) FROM tasks
-- next
SET LOCAL ROLE oracle_clerk
-- next
EXECUTE p

-- case: prepare and execute in one batch with a path in between
-- path: public
-- protocol: simple
-- expect: refused 0A000
PREPARE p AS SELECT count(*) FROM users; SET LOCAL search_path = app; EXECUTE p

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
