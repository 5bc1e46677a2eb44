-- # Views and materialized views over protected tables: their definitions are guarded when they are created.
-- path: app, public

-- case: create a simple view and read it
CREATE VIEW other.made AS SELECT id, name FROM users WHERE city = 'London' OR city IS NULL
-- next
SELECT * FROM other.made ORDER BY id

-- case: a simple view stays updatable
CREATE VIEW other.made AS SELECT id, name, city FROM users
-- next
SELECT is_updatable, is_insertable_into FROM information_schema.views WHERE table_name = 'made'
-- next
UPDATE other.made SET city = 'Rome' WHERE id IN (1, 4, 10)
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a view of all columns
CREATE VIEW other.made AS SELECT * FROM users
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a view with column names
CREATE VIEW other.made (a, b) AS SELECT id, name FROM users
-- next
SELECT a, b FROM other.made ORDER BY a

-- case: create a view by the TABLE command
CREATE VIEW other.made AS TABLE tasks
-- next
TABLE other.made

-- case: create a view of values
CREATE VIEW other.made AS VALUES (1, (SELECT count(*) FROM users)), (2, (SELECT count(*) FROM orders))
-- next
SELECT * FROM other.made ORDER BY 1

-- case: create a view over an outer join
CREATE OR REPLACE VIEW other.made AS
    SELECT l.id, u.name, o.total FROM logs l LEFT JOIN users u ON u.id = l.user_id FULL JOIN orders o ON o.user_id = u.id
-- next
SELECT * FROM other.made ORDER BY 1, 2, 3

-- case: replace a view by one over a protected table
CREATE VIEW other.made AS SELECT id, message FROM logs
-- next
CREATE OR REPLACE VIEW other.made AS SELECT id, name AS message FROM users
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a temporary view
CREATE TEMP VIEW made AS SELECT id FROM users u WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)
-- next
SELECT * FROM made ORDER BY id

-- case: create a temporary view by its schema
CREATE VIEW pg_temp.made AS SELECT count(*) FROM memos
-- next
SELECT * FROM pg_temp.made

-- case: create a recursive view
CREATE RECURSIVE VIEW other.made (id, depth) AS
    SELECT node, 1 FROM node WHERE parent IS NULL
    UNION ALL SELECT n.node, m.depth + 1 FROM made m JOIN node n ON n.parent = m.id
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a recursive view whose own name is a protected table
CREATE RECURSIVE VIEW other.users (id) AS SELECT 1 UNION ALL SELECT id + 1 FROM users WHERE id < 4
-- next
SELECT * FROM other.users ORDER BY id

-- case: create a view with a check option
CREATE VIEW other.made AS SELECT id, name, city FROM users WHERE city = 'London' WITH CASCADED CHECK OPTION
-- next
SELECT * FROM other.made ORDER BY id
-- next
UPDATE other.made SET name = 'x' WHERE id = 1
-- next
SELECT id, name FROM users ORDER BY id

-- case: a check option still holds
-- expect: error 44000
CREATE VIEW other.made AS SELECT id, name, city FROM users WHERE city = 'London' WITH LOCAL CHECK OPTION
-- next
UPDATE other.made SET city = 'Rome'

-- case: create a view with a security barrier
CREATE VIEW other.made WITH (security_barrier) AS SELECT label FROM "Weird Name" w, measures
-- next
SELECT count(*) FROM other.made

-- case: create a view with the rights of the invoker
-- min-version: 15
CREATE VIEW other.made WITH (security_invoker = true, check_option = local) AS SELECT id, body FROM memos
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a view with all kinds of sub-selects
CREATE VIEW other.made AS
    WITH orders AS (SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id)
    SELECT u.id, o.total, (SELECT count(*) FROM items) AS items, rank() OVER (ORDER BY u.id) FROM users u
    LEFT JOIN orders o ON o.user_id = u.id, LATERAL (SELECT max(id) FROM tasks WHERE id < u.id) x (m)
    WHERE EXISTS (SELECT FROM events WHERE kind <> u.name) GROUP BY u.id, o.total HAVING count(*) > (SELECT 0 FROM memos LIMIT 1)
    ORDER BY u.id LIMIT (SELECT count(*) FROM users)
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a view over a set operation
CREATE VIEW other.made AS SELECT name FROM users UNION ALL SELECT note FROM orders EXCEPT SELECT title FROM tasks
-- next
SELECT * FROM other.made ORDER BY name

-- case: create a view that shows system columns
CREATE VIEW other.made AS SELECT ctid AS place, tableoid::regclass::text AS source, id FROM animals
-- next
SELECT * FROM other.made ORDER BY id

-- case: create a view over a view
CREATE VIEW other.made AS SELECT v.id, v.name FROM user_names v JOIN logs l ON l.user_id = v.id
-- next
SELECT * FROM other.made ORDER BY id, name

-- case: create a view over a view made here
CREATE VIEW other.made AS SELECT id, name FROM users
-- next
CREATE VIEW other.more AS SELECT count(*), max(name) FROM other.made
-- next
SELECT * FROM other.more

-- case: create a view with an unknown column
-- expect: error 42703
CREATE VIEW other.made AS SELECT nope FROM users

-- case: create a view that exists
-- expect: error 42P07
CREATE VIEW app.user_names AS SELECT id FROM users

-- case: create a view where a table is
-- expect: error 42809
CREATE OR REPLACE VIEW app.logs AS SELECT id FROM users

-- case: a committed view is read by its name
-- transaction: none
-- protocol: simple
CREATE VIEW other.made AS SELECT id, name, city FROM app.users
-- next
SELECT * FROM other.made ORDER BY id
-- next
SELECT count(*) FROM other.made m JOIN app.orders o ON o.user_id = m.id
-- next
TABLE other.made
-- next
DROP VIEW other.made

-- case: a committed view over a join is read
-- transaction: none
-- protocol: simple
CREATE VIEW other.made AS SELECT u.name, o.id FROM app.users u LEFT JOIN app.orders o ON o.user_id = u.id
-- next
SELECT * FROM other.made ORDER BY id, name
-- next
DROP VIEW other.made

-- case: a committed view needs no privileges on its tables
-- transaction: none
-- protocol: simple
-- role: oracle_owner
CREATE VIEW other.made AS SELECT kind FROM app.events
-- next
GRANT USAGE ON SCHEMA other TO oracle_clerk
-- next
GRANT SELECT ON other.made TO oracle_clerk
-- next
SET ROLE oracle_clerk
-- next
SELECT * FROM other.made ORDER BY kind
-- next
RESET ROLE
-- next
DROP VIEW other.made

-- case: a committed view shows live rows whatever is to be seen
-- origins: ignored
-- transaction: none
-- protocol: simple
CREATE VIEW other.made AS SELECT id FROM app.users
-- next
/* pgsoftproxy: visibility=all */ SELECT * FROM other.made ORDER BY id
-- next
DROP VIEW other.made

-- case: create a materialized view
CREATE MATERIALIZED VIEW other.made AS SELECT * FROM orders
-- next
/* pgsoftproxy: visibility=all */ SELECT count(*) FROM other.made
-- direct:
SELECT count(*) FROM other.made

-- case: create a materialized view without data and refresh it
CREATE MATERIALIZED VIEW IF NOT EXISTS other.made (a, b) AS
    SELECT u.id, count(o) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id WITH NO DATA
-- next
REFRESH MATERIALIZED VIEW other.made
-- next
/* pgsoftproxy: visibility=all */ SELECT * FROM other.made ORDER BY a
-- direct:
SELECT * FROM other.made ORDER BY a

-- case: create a materialized view over a view
CREATE MATERIALIZED VIEW other.made AS TABLE user_names WITH DATA
-- next
/* pgsoftproxy: visibility=all */ SELECT * FROM other.made ORDER BY id
-- direct:
SELECT * FROM other.made ORDER BY id

-- case: explain analyze of a materialized view that is created
-- compare: status
EXPLAIN ANALYZE CREATE MATERIALIZED VIEW other.made AS SELECT * FROM orders

-- case: a materialized view is not read, for it keeps rows that are deleted later
-- expect: refused 0A000
CREATE MATERIALIZED VIEW other.made AS SELECT id FROM app.orders
-- next
SELECT * FROM other.made

-- case: create a view while all rows are seen
-- expect: refused 0A000
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
CREATE VIEW other.made AS SELECT id FROM users

-- case: create a view while deleted rows of its table are seen
-- expect: refused 0A000
/* pgsoftproxy: visibility=deleted for app.users */ CREATE VIEW other.made AS SELECT o.id FROM orders o JOIN users u ON true

-- case: create a view as of a moment
-- expect: refused 0A000
/* pgsoftproxy: visibility=as_of 2026-01-31T00:00Z */ CREATE VIEW other.made AS SELECT id FROM users

-- case: create a materialized view while all rows are seen
-- expect: refused 0A000
/* pgsoftproxy: visibility=all */ CREATE MATERIALIZED VIEW other.made AS SELECT id FROM users

-- case: create a view over an unprotected table while all rows are seen
/* pgsoftproxy: visibility=all */ CREATE VIEW other.made AS SELECT id FROM logs
-- direct:
CREATE VIEW other.made AS SELECT id FROM logs

-- case: create a view over a materialized view
-- expect: refused 0A000
CREATE VIEW other.made AS SELECT * FROM order_totals

-- case: create a view over an unprotected parent of a protected child
-- expect: refused 0A000
CREATE VIEW other.made AS SELECT * FROM public.things

-- case: create a view over histograms
-- expect: refused 0A000
CREATE VIEW other.made AS SELECT * FROM pg_stats

-- case: create a view inside a schema that is created
-- expect: refused 0A000
CREATE SCHEMA fresh CREATE VIEW v AS SELECT * FROM app.users

-- case: a committed view is updated and inserted into
-- transaction: none
-- protocol: simple
CREATE VIEW other.made AS SELECT id, name, email, city FROM app.users
-- next
CREATE VIEW other.more AS SELECT id, name, email FROM other.made WHERE city <> 'Paris'
-- next
BEGIN
-- next
UPDATE other.made SET name = 'x' WHERE id IN (1, 4, 10) RETURNING *
-- next
UPDATE other.more m SET name = u.name FROM app.users u WHERE u.id = m.id + 1 RETURNING m.id, m.name
-- next
INSERT INTO other.made (id, name, email, city) VALUES (90, 'new', 'new@example.com', 'Rome') RETURNING *
-- next
INSERT INTO other.more (id, name, email) SELECT id + 200, name, email || 'x' FROM app.users
-- next
ROLLBACK
-- next
DROP VIEW other.more, other.made

-- case: a new view is not deleted from
-- expect: refused 0A000
CREATE VIEW other.made AS SELECT * FROM app.relics
-- next
DELETE FROM other.made WHERE id = 1

-- case: a new view is not upserted into
-- expect: refused 0A000
CREATE VIEW other.made AS SELECT id, handle FROM app.accounts
-- next
INSERT INTO other.made VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET handle = 'y'

-- case: a new view is not merged into
-- expect: refused 0A000
-- min-version: 17
CREATE VIEW other.made AS SELECT id, handle FROM app.accounts
-- next
MERGE INTO other.made a USING app.logs l ON a.id = l.id WHEN MATCHED THEN DELETE

-- case: a new view with a rule is not written to
-- expect: refused 0A000
CREATE VIEW other.made AS SELECT id, handle FROM app.accounts
-- next
CREATE RULE r AS ON UPDATE TO other.made DO INSTEAD SELECT 1
-- next
UPDATE other.made SET handle = 'x'
