-- # CREATE TABLE AS, SELECT INTO, CREATE MATERIALIZED VIEW over what is unprotected.
-- path: app, public
-- protocol: both

-- case: create table as
CREATE TABLE made AS SELECT * FROM users
-- next
SELECT id FROM public.users

-- case: create table as with column names
CREATE TABLE other.made (a, b) AS SELECT id, name FROM users WHERE city = 'London' OR city IS NULL
-- next
SELECT a, b FROM other.made

-- case: create table as with no data
CREATE TABLE other.made AS SELECT * FROM users WITH NO DATA

-- case: create temp table as
CREATE TEMP TABLE made ON COMMIT DROP AS SELECT count(*) AS n FROM orders
-- next
SELECT n FROM pg_temp.made

-- case: create table if not exists as
CREATE TABLE IF NOT EXISTS app.logs AS SELECT id FROM users

-- case: create table as TABLE
CREATE TABLE other.made AS TABLE tasks
-- next
SELECT count(*) FROM other.made

-- case: create table as VALUES
CREATE TABLE other.made AS VALUES (1, (SELECT count(*) FROM users))
-- next
TABLE other.made

-- case: create table as with a CTE
CREATE TABLE other.made AS WITH u AS (SELECT * FROM users) SELECT id FROM u
-- next
SELECT * FROM other.made ORDER BY id

-- case: select into
SELECT id, name INTO other.made FROM users WHERE age > 30
-- next
TABLE other.made

-- case: select into temp
SELECT u.id, o.total INTO TEMP made FROM users u LEFT JOIN orders o ON o.user_id = u.id
-- next
SELECT count(*), sum(total) FROM pg_temp.made

-- case: select into a name that a protected table has elsewhere
SELECT id INTO other.users FROM users
-- next
SELECT count(*) FROM other.users

-- case: create unlogged table as with storage parameters
CREATE UNLOGGED TABLE other.made WITH (fillfactor = 50) AS SELECT * FROM events

-- case: create a materialized view over an unprotected table
CREATE MATERIALIZED VIEW other.made AS SELECT count(*) AS n FROM logs
-- next
SELECT n FROM other.made

-- case: create a view over an unprotected table
CREATE VIEW other.made AS SELECT id FROM logs
-- next
SELECT count(*) FROM other.made

-- case: create a view over an unprotected namesake
CREATE VIEW other.made AS SELECT id FROM public.users
-- next
SELECT * FROM other.made ORDER BY id
