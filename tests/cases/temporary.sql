-- # Temporary tables and views that shadow protected tables, and how long they do.
-- path: app, public

-- case: a temporary table shadows a protected one
CREATE TEMP TABLE users (id int, note text)
-- next
INSERT INTO users VALUES (1, 'one'), (2, 'two')
-- next
SELECT * FROM users ORDER BY id
-- next
UPDATE users SET note = 'second' WHERE id = 2 RETURNING *
-- next
DELETE FROM users WHERE id = 1
-- next
SELECT users.note, count(*) FROM ONLY users GROUP BY users.note
-- next
SELECT count(*) FROM app.users

-- case: a temporary table with the deletion column keeps its rows
CREATE TEMPORARY TABLE users (id int, deleted_at timestamptz)
-- next
INSERT INTO users VALUES (1, NULL), (2, '2026-01-01')
-- next
SELECT id FROM users ORDER BY id
-- next
DELETE FROM users WHERE id = 1 RETURNING *
-- next
SELECT id FROM users

-- case: a temporary copy of a protected table takes its live rows and then its place
CREATE TEMP TABLE users AS SELECT * FROM users
-- next
SELECT count(*), max(id) FROM users
-- next
DELETE FROM users
-- next
SELECT count(*) FROM pg_temp.users
-- next
SELECT count(*) FROM app.users

-- case: a temporary table made by SELECT INTO
SELECT id, name INTO TEMP users FROM users WHERE id < 5
-- next
TABLE users ORDER BY id

-- case: a temporary table like a protected one
CREATE TEMP TABLE users (LIKE users INCLUDING ALL)
-- next
INSERT INTO users (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET email = 'b' RETURNING id, email
-- next
INSERT INTO users (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET email = 'b' RETURNING id, email
-- next
INSERT INTO users (id, email) VALUES (1, 'a') ON CONFLICT DO NOTHING

-- case: a temporary table by its schema
CREATE TABLE pg_temp.users (note text)
-- next
SELECT count(*) FROM users

-- case: a temporary table by a path that begins with pg_temp
SET LOCAL search_path = pg_temp, app
-- next
CREATE TABLE users (note text)
-- next
SELECT count(*) FROM users

-- case: a temporary table behind the protected one in the path
CREATE TEMP TABLE users (note text)
-- next
SET LOCAL search_path = app, pg_temp
-- next
SELECT count(*), max(id) FROM users
-- next
SET LOCAL search_path = public, app
-- next
SELECT count(*) FROM users

-- case: a dropped temporary table does not shadow any more
CREATE TEMP TABLE users (note text)
-- next
DROP TABLE users
-- next
SELECT count(*), max(id) FROM users

-- case: temporary tables dropped among others
CREATE TEMP TABLE users (note text)
-- next
CREATE TEMP TABLE orders (note text)
-- next
DROP TABLE IF EXISTS "users", pg_temp.orders /* , users */ CASCADE
-- next
SELECT count(*), max(u.id) FROM users u JOIN orders o ON o.user_id = u.id

-- case: a second drop of a shadowed name means the protected table
-- expect: refused 0A000
CREATE TEMP TABLE users (note text)
-- next
DROP TABLE users
-- next
DROP TABLE users

-- case: a temporary table taken back by a savepoint
SAVEPOINT a
-- next
CREATE TEMP TABLE users (note text)
-- next
SELECT count(*) FROM users
-- next
ROLLBACK TO a
-- next
SELECT count(*), max(id) FROM users

-- case: a temporary table that is changed, emptied and indexed
CREATE TEMP TABLE users (note text)
-- next
ALTER TABLE users ADD COLUMN n int DEFAULT 7
-- next
CREATE INDEX ON users (n)
-- next
INSERT INTO users VALUES ('x')
-- next
SELECT * FROM users
-- next
TRUNCATE users
-- next
ALTER TABLE users DROP COLUMN note
-- next
SELECT * FROM users

-- case: a temporary table that is renamed leaves the name to the protected one
CREATE TEMP TABLE users (note text)
-- next
ALTER TABLE users RENAME TO others
-- next
SELECT count(*), max(id) FROM users

-- case: a temporary view shadows a protected table
CREATE TEMP VIEW users AS SELECT id FROM users WHERE id < 6
-- next
SELECT count(*), max(id) FROM users
-- next
DROP VIEW users
-- next
SELECT count(*), max(id) FROM users

-- case: a temporary table in joins, sub-selects and CTEs
CREATE TEMP TABLE users AS SELECT id FROM users WHERE id < 6
-- next
WITH orders AS (SELECT id AS user_id FROM users) SELECT count(*) FROM orders JOIN users ON id = user_id
-- next
SELECT count(*) FROM orders WHERE user_id IN (SELECT id FROM users)
-- next
SELECT o.id, users.id FROM orders o LEFT JOIN users ON users.id = o.user_id ORDER BY o.id
-- next
DELETE FROM orders USING users WHERE users.id = orders.user_id
-- next
UPDATE orders SET note = 'x' FROM users AS u WHERE u.id = orders.user_id

-- case: a temporary table in COPY
CREATE TEMP TABLE users (id int, note text)
-- next
COPY users FROM STDIN
-- copy: "1\tone\n"
-- next
COPY users TO STDOUT

-- case: a temporary table in one batch
-- origins: ignored
-- protocol: simple
CREATE TEMP TABLE users (note text); INSERT INTO users VALUES ('x'); SELECT * FROM users; DROP TABLE users; SELECT count(*) FROM users

-- case: an error in a statement on a temporary table is in its place
-- expect: error 42703
CREATE TEMP TABLE users (note text)
-- next
SELECT id FROM users WHERE nothing = 1

-- case: a temporary table that is gone with its transaction
-- transaction: none
BEGIN
-- next
CREATE TEMP TABLE users (note text) ON COMMIT DROP
-- next
SELECT count(*) FROM users
-- next
COMMIT
-- next
SELECT count(*), max(id) FROM users

-- case: a temporary table that outlives its transaction
-- transaction: none
BEGIN
-- next
CREATE TEMP TABLE users ON COMMIT DELETE ROWS AS SELECT 1 AS id
-- next
SELECT count(*) FROM users
-- next
COMMIT
-- next
SELECT count(*) FROM users
-- next
BEGIN
-- next
DROP TABLE users
-- next
SELECT count(*), max(id) FROM users
-- next
ROLLBACK
-- next
SELECT count(*) FROM users
-- next
DISCARD TEMP
-- next
SELECT count(*), max(id) FROM users

-- case: a temporary table dropped by DISCARD ALL
-- transaction: none
CREATE TEMP TABLE users (note text)
-- next
DISCARD ALL
-- next
SELECT count(*), max(id) FROM app.users

-- case: a temporary child of a protected table
-- expect: refused 0A000
CREATE TEMP TABLE mine () INHERITS (users)
