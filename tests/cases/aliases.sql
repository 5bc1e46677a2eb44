-- # Aliases, column-alias lists, whole rows.
-- path: app, public

-- case: column aliases for all columns
SELECT u.i, u.e, u.d FROM users AS u (i, e, n, c, a, m, cr, d, b, x) ORDER BY u.i

-- case: column aliases for some columns
SELECT u.a, u.b, u.city FROM users u (a, b) ORDER BY a

-- case: a column alias named like the deletion column
SELECT u.deleted_at, u.b FROM users AS u (deleted_at, b, c, d, e, f, g, h) ORDER BY 1

-- case: the deletion column's name swapped with another
SELECT t.is_deleted, t.title FROM tasks AS t (is_deleted, title, mood, id) ORDER BY 1

-- case: column aliases that leave the deletion column without a name of its own
-- expect: refused 0A000
SELECT t.x FROM tasks AS t (x, x, x, x)

-- case: too many column aliases
-- expect: error 42P10
SELECT 1 FROM tasks AS t (a, b, c, d, e)

-- case: column aliases in a join
SELECT a.x, b.y FROM tasks AS a (x) LEFT JOIN memos AS b (y) ON a.x = b.y ORDER BY 1

-- case: column aliases with USING
SELECT k, a.title, b.body FROM tasks AS a (k) JOIN memos AS b (k) USING (k) ORDER BY k

-- case: column aliases with a natural join
SELECT * FROM tasks AS a (k, t, m, d) NATURAL JOIN memos AS b (k, t2, d2) ORDER BY k

-- case: column aliases over dropped columns
SELECT r.a, r.b, r.c FROM relics AS r (a, b, c) ORDER BY a

-- case: column aliases over dropped columns, some only
SELECT r.a, r.label, r.deleted_at FROM relics AS r (a) ORDER BY a

-- case: quoted column aliases
SELECT "X y", w."b""c", w."D" FROM "Weird Name" AS w ("X y", "b""c", select_, "D") ORDER BY 1

-- case: column aliases on ONLY and partitions
SELECT m.a, m.e FROM ONLY measures_2026 AS m (a, b, c, d, e) ORDER BY 1

-- case: column aliases with ctid
SELECT ctid, q FROM events AS e (q, r, s, deleted_at) ORDER BY q

-- case: a whole row
SELECT u FROM users u ORDER BY u.id

-- case: a whole row by the table's name
SELECT tasks FROM tasks ORDER BY tasks.id

-- case: a whole row as JSON
SELECT row_to_json(u), to_jsonb(u) ->> 'name' FROM users u ORDER BY u.id

-- case: a whole row as text
SELECT u::text FROM users u ORDER BY u.id

-- case: a whole row in an aggregate
SELECT json_agg(t ORDER BY t.id), array_agg(t ORDER BY t.id) FROM tasks t

-- case: a whole row expanded
SELECT (u).*, (u).id + 1 FROM users u ORDER BY u.id

-- case: a whole row in a function call
SELECT jsonb_build_object('row', u) FROM users u WHERE u.id < 3 ORDER BY u.id

-- case: a whole row in an outer join
SELECT o.id, u FROM orders o LEFT JOIN users u ON u.id = o.user_id ORDER BY o.id

-- case: a whole row tested for NULL in an outer join
SELECT o.id, u IS NULL, u.* IS NOT NULL FROM orders o LEFT JOIN users u ON u.id = o.user_id ORDER BY o.id

-- case: a whole row compared
SELECT a.id FROM tasks a JOIN tasks b ON a = b ORDER BY 1

-- case: a whole row in DISTINCT and GROUP BY
SELECT t.mood, count(DISTINCT t) FROM tasks t GROUP BY t.mood ORDER BY 1

-- case: grouping by whole row
SELECT t, count(*) FROM tasks t GROUP BY t ORDER BY t

-- case: count of a whole row on the nullable side
SELECT count(o), count(o.*), count(*) FROM users u LEFT JOIN orders o ON o.user_id = u.id

-- case: a function call by attribute notation
SELECT u.name, u.upper FROM (SELECT name, upper(name) FROM users) u ORDER BY 1

-- case: a table whose column has its own name
SELECT node FROM node ORDER BY node

-- case: a table whose column has its own name as whole row
SELECT node.*, n FROM node JOIN node n ON n.node = node.node ORDER BY 1

-- case: an alias that is the deletion column's name
SELECT deleted_at.id FROM users AS deleted_at ORDER BY 1

-- case: an alias that is the deletion column's name, and the column
SELECT deleted_at.deleted_at, deleted_at FROM tasks AS deleted_at (id, title, mood, deleted_at) ORDER BY deleted_at.id

-- case: an alias like the proxy's own
SELECT _sd1.id FROM users AS _sd1 LEFT JOIN orders AS _sd2 ON _sd2.user_id = _sd1.id ORDER BY 1

-- case: a column alias like the proxy's own
SELECT t._sd1 FROM tasks AS t (_sd1) LEFT JOIN memos m ON m.id = t._sd1 ORDER BY 1

-- case: a CTE like the proxy's own alias
WITH _sd1 AS (SELECT * FROM users) SELECT _sd1.id, o.id FROM _sd1 LEFT JOIN orders o ON o.user_id = _sd1.id ORDER BY 1, 2

-- case: an alias that is a schema's name
SELECT app.id FROM users AS app ORDER BY 1

-- case: an alias that makes schema.table ambiguous
SELECT app.users.id FROM app.users, logs AS app WHERE app.id = 1 ORDER BY 1

-- case: an output column named like the deletion column in ORDER BY
SELECT id, name AS deleted_at FROM users ORDER BY deleted_at

-- case: an output column named like the deletion column in GROUP BY
SELECT city AS deleted_at, count(*) FROM orders, users WHERE users.id = orders.user_id GROUP BY city ORDER BY 1

-- case: a sub-select's column named like the deletion column
SELECT s.deleted_at FROM (SELECT id AS deleted_at FROM users) s ORDER BY 1

-- case: the same alias at two levels
SELECT t.id FROM tasks t WHERE t.id IN (SELECT t.id FROM memos t WHERE t.id IN (SELECT t.id FROM events t)) ORDER BY 1

-- case: an alias hides the table's name
-- expect: error 42P01
SELECT users.id FROM users u

-- case: an alias that is used before it is defined
-- expect: error 42P01
SELECT u.id FROM users u JOIN orders o ON o.user_id = x.id JOIN users x ON x.id = u.id

-- case: composite values of a table's type
SELECT (NULL::users).name, (ROW(1, 'x', NULL, false)::tasks).title

-- case: jsonb_populate_record of a table's type
SELECT (jsonb_populate_record(NULL::tasks, '{"id": 4, "title": "from json"}')).*

-- case: a whole row's field that is the deletion column
SELECT u.id, (u).deleted_at, (u.*).deleted_at IS NULL FROM users u ORDER BY 1
