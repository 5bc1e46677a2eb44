-- # Functions and procedures whose bodies the server parses: their queries are rewritten when they are created.
-- path: app, public

-- case: a body that reads
CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM users; END
-- next
SELECT other.made()

-- case: a return of a sub-select
CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql STABLE RETURN (SELECT count(*) FROM app.users) + 1
-- next
SELECT other.made(), count(*) FROM users WHERE id < other.made()

-- case: a body of several statements, in any order of clauses
CREATE OR REPLACE FUNCTION other.made(low int, OUT id int, OUT title text) RETURNS SETOF record
    BEGIN ATOMIC
        INSERT INTO logs (id, user_id, message) SELECT 1000 + u.id, u.id, 'made' FROM users u WHERE u.id > low;
        UPDATE tasks SET title = upper(title) WHERE tasks.id > low OR mood IS NULL;
        SELECT t.id, t.title FROM tasks t LEFT JOIN users u ON u.id = t.id ORDER BY t.id;
    END
-- next
SELECT * FROM other.made(1)

-- case: a body with parameters, CTEs and sub-selects
CREATE FUNCTION other.made(a int, b text DEFAULT 'x') RETURNS TABLE (n bigint, m text) LANGUAGE sql BEGIN ATOMIC
    WITH users AS (SELECT * FROM users WHERE users.id > a)
    SELECT u.id, b || (SELECT max(note) FROM orders o WHERE o.user_id = u.id) FROM users u;
END
-- next
SELECT * FROM other.made(1) ORDER BY n

-- case: a body that deletes
CREATE FUNCTION other.made() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM tasks WHERE id = 1 OR id = 4; END
-- next
SELECT other.made()
-- next
SELECT id FROM tasks ORDER BY id

-- case: a body that deletes and returns
CREATE FUNCTION other.made() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC
    DELETE FROM orders USING users WHERE users.id = orders.user_id AND users.city = 'London' RETURNING name || total;
END
-- next
SELECT * FROM other.made() ORDER BY 1
-- next
SELECT id FROM orders ORDER BY id

-- case: a procedure that deletes
-- protocol: simple
CREATE PROCEDURE other.made(which int) LANGUAGE sql BEGIN ATOMIC
    DELETE FROM memos WHERE id = which;
    UPDATE memos SET body = 'kept';
END
-- next
CALL other.made(1)
-- next
SELECT id, body FROM memos ORDER BY id

-- case: a body that reads a view
CREATE FUNCTION other.made() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC SELECT name FROM user_names; END
-- next
SELECT * FROM other.made() ORDER BY 1

-- case: a body with comments and strings
CREATE FUNCTION other.made() RETURNS text LANGUAGE sql BEGIN ATOMIC
    /* DELETE FROM users; */ SELECT 'users; END' || max(name) FROM users -- END
    ;
END
-- next
SELECT other.made()

-- case: a body without protected tables
CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM logs; END
-- next
SELECT other.made()

-- case: a committed function is called
-- transaction: none
-- protocol: simple
DROP FUNCTION IF EXISTS other.made
-- next
CREATE FUNCTION other.made(a bigint) RETURNS bigint LANGUAGE sql
    BEGIN ATOMIC SELECT count(*) FROM app.users u LEFT JOIN app.orders o ON o.user_id = u.id WHERE u.id > a; END
-- next
CREATE FUNCTION other.more() RETURNS SETOF text LANGUAGE sql RETURN (SELECT max(name) FROM app.users) || other.made(2)
-- next
SELECT other.made(1), m FROM other.more() AS m
-- next
SELECT id, other.made(id) FROM app.users ORDER BY id
-- next
DROP FUNCTION other.more, other.made

-- case: a committed procedure deletes softly
-- transaction: none
-- protocol: simple
CREATE PROCEDURE other.made() LANGUAGE sql BEGIN ATOMIC DELETE FROM app.memos WHERE id < 3; END
-- next
BEGIN
-- next
CALL other.made()
-- next
SELECT id FROM app.memos ORDER BY id
-- next
ROLLBACK
-- next
DROP PROCEDURE other.made

-- case: a committed function over a committed view is called
-- transaction: none
-- protocol: simple
CREATE VIEW other.seen AS SELECT id, name FROM app.users WHERE city IS NOT NULL
-- next
CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM other.seen)
-- next
SELECT other.made()
-- next
DROP FUNCTION other.made
-- next
DROP VIEW other.seen

-- case: an unknown column in a body
-- expect: error 42703
CREATE FUNCTION other.made() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT nope FROM users; END

-- case: a body that calls a function which reads
-- expect: refused 0A000
CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT routines.user_count(); END

-- case: a body that reads a materialized view
-- expect: refused 0A000
CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM order_totals)

-- case: a body that removes rows of an unprotected parent
-- expect: refused 0A000
CREATE FUNCTION other.made() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM categories; END

-- case: a body with an upsert where a deleted row may hold the key
-- expect: refused 0A000
CREATE FUNCTION other.made() RETURNS void LANGUAGE sql
    BEGIN ATOMIC INSERT INTO accounts (id, handle) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET handle = 'y'; END

-- case: a body that is made while all rows are seen
-- expect: refused 0A000
/* pgsoftproxy: visibility=all */ CREATE FUNCTION other.made() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM users)

-- case: a function that was created directly and reads without a guard
-- expect: refused 0A000
SELECT routines.atomic()
