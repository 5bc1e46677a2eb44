-- # ctid, xmin, tableoid and their kin.
-- path: app, public

-- case: an unqualified ctid
SELECT ctid, id FROM users

-- case: a qualified ctid
SELECT u.ctid, u.id FROM users u

-- case: all system columns
SELECT ctid, xmin IS NOT NULL, xmax IS NULL, cmin IS NOT NULL, cmax IS NOT NULL, tableoid::regclass FROM users

-- case: an unqualified tableoid over an inheritance tree
SELECT tableoid::regclass, count(*) FROM animals GROUP BY 1 ORDER BY 1

-- case: an unqualified tableoid over partitions
SELECT tableoid::regclass, count(*) FROM measures GROUP BY tableoid ORDER BY 1

-- case: ctid in WHERE
SELECT id FROM users WHERE ctid = '(0,1)' OR ctid = '(0,9)'

-- case: ctid in ORDER BY
SELECT id FROM tasks ORDER BY ctid DESC

-- case: an unqualified ctid with an alias
SELECT ctid FROM users AS u WHERE id < 3

-- case: an unqualified ctid in a join is ambiguous
-- expect: error 42702
SELECT ctid FROM users, orders

-- case: qualified ctids in a join
SELECT u.ctid, o.ctid FROM users u JOIN orders o ON o.user_id = u.id ORDER BY 2

-- case: qualified ctids in an outer join
SELECT u.ctid, o.ctid, o.tableoid::regclass FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY 1, 2

-- case: an unqualified ctid in a sub-select
SELECT id FROM users WHERE ctid IN (SELECT ctid FROM users WHERE id < 5)

-- case: an unqualified ctid that is the outer table's
SELECT u.id, (SELECT ctid FROM (SELECT 1) AS one (x)) FROM users u ORDER BY u.id

-- case: an unqualified ctid of an inner table that hides the outer
SELECT u.id, (SELECT ctid FROM tasks WHERE id = 1) FROM users u ORDER BY u.id

-- case: an unqualified ctid of a table whose columns are renamed
SELECT ctid, a FROM tasks AS t (a, b, c, d) ORDER BY a

-- case: ctid with WHERE, GROUP BY, HAVING
SELECT (ctid::text::point)[0] AS block, count(*) FROM users WHERE id > 1 OR id = 4 GROUP BY 1 HAVING count(*) > 1

-- case: an unqualified ctid of a join tree is not there
-- expect: error 42703
SELECT ctid FROM (users u JOIN orders o ON o.user_id = u.id)

-- case: ctid of an aliased join tree is not there
-- expect: error 42703
SELECT ctid FROM (users u JOIN orders o ON o.user_id = u.id) AS j

-- case: an unqualified ctid beside a sub-select in FROM
SELECT ctid FROM users, (SELECT 1 AS one) s ORDER BY 1

-- case: an unqualified xmin in a filter
SELECT count(*) FROM users WHERE xmin IS NOT NULL AND xmax IS NOT NULL

-- case: an unqualified tableoid in a delete
DELETE FROM animals WHERE tableoid = 'dogs'::regclass

-- case: an unqualified ctid in a returning
DELETE FROM tasks WHERE id = 1 RETURNING tableoid::regclass

-- case: an unqualified ctid in an update with a limited sub-select
UPDATE tasks SET title = 'x' WHERE ctid = ANY (ARRAY(SELECT ctid FROM tasks ORDER BY id LIMIT 2)) RETURNING id

-- case: an unqualified ctid of a table sampled
SELECT ctid, id FROM users TABLESAMPLE BERNOULLI (100)

-- case: an unqualified ctid with FOR UPDATE
SELECT ctid, id FROM tasks ORDER BY id FOR UPDATE

-- case: an unqualified ctid of ONLY
SELECT ctid, tableoid::regclass FROM ONLY animals

-- case: the deletion of duplicates by an unqualified ctid
DELETE FROM items WHERE ctid NOT IN (SELECT min(ctid) FROM items GROUP BY sku)

-- case: a ctid in a window
SELECT id, row_number() OVER (ORDER BY ctid) FROM users ORDER BY id

-- case: a table function has no ctid
-- expect: error 42703
SELECT ctid FROM generate_series(1, 3)

-- case: ctid of a CTE
-- expect: error 42703
WITH c AS (SELECT * FROM users) SELECT ctid FROM c
