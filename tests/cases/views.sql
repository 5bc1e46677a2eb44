-- # Views over protected tables: each is read through its own definition, guarded.
-- path: app, public
-- origins: ignored

-- case: read a view over a protected table
SELECT * FROM user_names ORDER BY id

-- case: read a view by its schema
SELECT app.user_names.name FROM app.user_names WHERE user_names.id > 4 ORDER BY 1

-- case: read a view over a view
SELECT * FROM user_name_lengths ORDER BY id

-- case: read a view in a sub-select
SELECT 1 WHERE EXISTS (SELECT FROM app.user_names WHERE name LIKE 'C%')

-- case: read a view that asks for deleted rows only
SELECT count(*) FROM user_names WHERE length(name) > 10

-- case: join a view with its own table
SELECT v.id, u.id FROM user_names v FULL JOIN users u ON u.manager_id = v.id ORDER BY 1, 2

-- case: left join a view
SELECT o.id, v.name FROM orders o LEFT JOIN user_names v ON v.id = o.user_id ORDER BY o.id

-- case: a view with an alias and column aliases
SELECT v.k, v.name FROM user_names AS v (k) ORDER BY k

-- case: a view with USING
SELECT id, v.name, t.title FROM user_names v JOIN app.tasks t USING (id) ORDER BY id

-- case: a whole row of a view
SELECT v, (v).name, row_to_json(v) FROM user_names v ORDER BY v.id

-- case: a whole row of a view by its name
SELECT user_names FROM user_names ORDER BY user_names.id

-- case: a view with column names and an outer join
SELECT * FROM user_orders ORDER BY user_id, order_id

-- case: a view with a CTE, a sub-select and a union
SELECT * FROM city_sizes ORDER BY city

-- case: an aggregate over a view
SELECT who, sum(total) FROM user_orders GROUP BY who HAVING count(order_id) > 0 ORDER BY 1

-- case: a quoted view with a whole row of its table
SELECT "Id", "whole row", "Deleted At" FROM "Odd View" ORDER BY 1

-- case: a view in another schema named like a protected table
SELECT * FROM public.tasks ORDER BY id

-- case: a view that the path finds before the protected table
-- path: public, app
SELECT * FROM tasks ORDER BY id

-- case: a view over a partitioned table
SELECT * FROM measure_sums ORDER BY year

-- case: the table form of a view
TABLE user_names ORDER BY id

-- case: a CTE that shadows a view
WITH user_names AS (SELECT 1 AS id) SELECT * FROM user_names

-- case: a CTE that reads the view it shadows
WITH user_names AS (SELECT id FROM user_names) SELECT count(*), max(id) FROM user_names

-- case: a CTE that shadows a table of the view's definition
WITH users AS (SELECT 99 AS id) SELECT v.id, u.id FROM user_names v, users u ORDER BY 1

-- case: copy a view's query out
COPY (SELECT * FROM user_names ORDER BY id) TO STDOUT

-- case: a view in DELETE USING
DELETE FROM orders USING user_names v WHERE v.id = orders.user_id AND v.name = 'Ada' RETURNING orders.id, v.name

-- case: a view in UPDATE FROM
UPDATE logs SET message = v.name FROM user_names v WHERE v.id = logs.user_id

-- case: a view in INSERT SELECT
INSERT INTO logs (id, message) SELECT id + 500, name FROM user_names

-- case: a view in a lateral
SELECT l.id, x.name FROM logs l LEFT JOIN LATERAL (SELECT name FROM user_names v WHERE v.id = l.user_id) x ON true ORDER BY 1

-- case: a view under a lock
SELECT id FROM user_names ORDER BY id FOR UPDATE

-- case: a view under a lock of its alias
SELECT v.id FROM user_names v JOIN logs l ON l.user_id = v.id ORDER BY l.id FOR UPDATE OF v

-- case: a cursor over a view
DECLARE c CURSOR FOR SELECT * FROM user_names ORDER BY id
-- next
FETCH ALL c

-- case: a prepared read of a view
PREPARE p (int) AS SELECT * FROM user_names WHERE id > $1 ORDER BY id
-- next
EXECUTE p (5)

-- case: an unknown column of a view
-- expect: error 42703
SELECT nope FROM user_names

-- case: a system column of a view
-- expect: error 42703
SELECT ctid FROM user_names

-- case: a hidden column of the table behind a view
-- expect: error 42703
SELECT v.city FROM user_names v

-- case: grouping by the key of a view does not let other columns through
-- expect: error 42803
SELECT v.id, v.name FROM user_names v GROUP BY v.id

-- case: a view needs the privileges that its tables need, because it is expanded
-- role: oracle_clerk
-- expect: refused 42501
SELECT * FROM event_kinds

-- case: a view over a table that the role may read
-- role: oracle_clerk
SELECT * FROM user_names ORDER BY id

-- case: the whole row of a view on the side of an outer join that has none
SELECT o.id, n::text, n IS NULL AS none, n IS DISTINCT FROM NULL AS some FROM orders o LEFT JOIN user_names n ON n.id = o.user_id

-- case: the whole row of a view whose columns are all NULL
SELECT v::text, v IS DISTINCT FROM NULL AS some FROM orders o LEFT JOIN city_sizes v ON v.city IS NULL AND o.id = 100

-- case: grouped by the whole row of a view in an outer join
SELECT n, count(*) FROM orders o LEFT JOIN user_names n ON n.id = o.user_id GROUP BY n

-- case: the alias of a view means a table in a sub-select
SELECT (SELECT max(v::text) FROM logs AS v), v FROM user_names AS v

-- case: the alias of a table means a view in a sub-select
SELECT (SELECT max(v::text) FROM user_names AS v), v FROM logs AS v

-- case: the name of a view with its schema, in a sub-select that takes the name
SELECT app.user_names.id, (SELECT max(user_names.id) FROM items AS user_names) FROM app.user_names

-- case: a view under its own name beside a lateral and a plain sub-select
SELECT s, t FROM user_names, LATERAL (SELECT user_names AS n) AS s, (SELECT max(user_names::text) FROM user_names) AS t

-- case: a view inside a join with an alias does not hide its name outside
SELECT (SELECT count(*) FROM (user_names AS v JOIN items AS i ON v.id = i.id) AS j WHERE v::text <> ''), v FROM logs AS v

-- case: what stands to the left of a view does not mean it
SELECT s, v FROM logs AS v, LATERAL (SELECT max(t.x) FROM unnest(ARRAY[v::text]) AS t(x), user_names AS v) AS s
