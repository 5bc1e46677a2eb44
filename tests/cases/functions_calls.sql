-- # Functions and procedures that exist in the server, DO blocks, and SQL that is run from text.
-- path: app, public

-- case: a function that names no protected table
SELECT twice(id::int) FROM users ORDER BY 1

-- case: a function that names no protected table, over a protected one
SELECT u.id, p.sq FROM users u, pairs(u.id::int) p WHERE u.id < 4 ORDER BY 1, 2

-- case: a procedure that writes an unprotected table
-- protocol: simple
CALL note('hello')

-- case: a function that is made and names no protected table
CREATE FUNCTION thrice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 3 -- not of users'
-- next
SELECT thrice(id::int) FROM users ORDER BY 1

-- case: a block that runs one literal
DO $$ BEGIN EXECUTE 'INSERT INTO app.logs (id, message) VALUES (901, $1)' USING 'made'; END $$
-- next
SELECT message FROM logs WHERE id = 901

-- case: a block whose comment and message name tables
DO $$ BEGIN /* users */ RAISE NOTICE 'cannot execute this'; -- orders
END $$

-- case: a block that names a table of another schema
DO $$ BEGIN PERFORM * FROM oracle_owner.tasks; END $$

-- case: a trigger's function is not called by a statement
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.message := upper(new.message); RETURN new; END'
-- next
CREATE TRIGGER stamp BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION stamp()
-- next
INSERT INTO logs (id, message) VALUES (902, 'a') RETURNING message

-- case: a function that reads a protected table
-- expect: refused 0A000
SELECT routines.user_count()

-- case: a function that reads a protected table, in FROM
-- expect: refused 0A000
SELECT * FROM routines.user_rows() AS r

-- case: a function that reads a protected table, in WHERE of another query
-- expect: refused 0A000
SELECT id FROM logs WHERE id < routines.user_count()

-- case: a function that calls one that reads
-- expect: refused 0A000
SELECT routines.indirect()

-- case: a function with a body that the server has parsed
-- expect: refused 0A000
SELECT routines.atomic()

-- case: an aggregate over a function that reads
-- expect: refused 0A000
SELECT routines.folded(id) FROM logs

-- case: a function by the search_path
-- expect: refused 0A000
SET LOCAL search_path = app, routines
-- next
SELECT user_count()

-- case: a function of a row, written as its column
-- expect: refused 0A000
SET LOCAL search_path = app, routines
-- next
SELECT u.summary FROM users AS u

-- case: a function of a row, written as a part of it
-- expect: refused 0A000
SET LOCAL search_path = app, routines
-- next
SELECT (u).summary FROM users AS u

-- case: a procedure that deletes
-- expect: refused 0A000
CALL routines.purge()

-- case: a procedure that deletes, called in a block
-- expect: refused 0A000
DO $$ BEGIN CALL routines.purge(); END $$

-- case: a function that reads by EXECUTE
-- expect: refused 0A000
SELECT routines.executed('us' || 'ers')

-- case: a function that reads by a table's name
-- expect: refused 0A000
SELECT routines.exported('app.users')

-- case: a function that reads a view over a protected table
-- expect: refused 0A000
SELECT * FROM routines.names()

-- case: a call inside EXPLAIN ANALYZE
-- expect: refused 0A000
EXPLAIN ANALYZE SELECT routines.user_count()

-- case: a call in what PREPARE prepares
-- expect: refused 0A000
PREPARE p AS SELECT routines.user_count()

-- case: a call in INSERT
-- expect: refused 0A000
INSERT INTO logs (id, message) VALUES (903, (SELECT max(name) FROM routines.user_rows()))

-- case: a call in RETURNING
-- expect: refused 0A000
UPDATE logs SET message = 'x' WHERE id = 1 RETURNING routines.user_count()

-- case: a call with every row in view
-- against: full
/* pgsoftproxy: visibility=all */ SELECT routines.user_count(), routines.indirect()

-- case: a view that calls a function which reads
-- expect: refused 0A000
SELECT * FROM routines.summary

-- case: a view over a view that calls a function which reads
-- expect: refused 0A000
SELECT u.id FROM users u, routines.over_summary s WHERE u.id < s.n

-- case: a view that calls a function which reads nothing
SELECT n, (SELECT count(*) FROM users) FROM routines.doubled ORDER BY n
