-- # Sub-selects in every place that takes an expression or a table.
-- path: app, public

-- case: a sub-select in FROM
SELECT s.id FROM (SELECT * FROM users) s WHERE s.id > 3 ORDER BY 1

-- case: a sub-select in FROM with column aliases
SELECT s.x, s.y FROM (SELECT id, name FROM users) AS s (x, y) ORDER BY x

-- case: EXISTS
SELECT u.id FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id) ORDER BY 1

-- case: NOT EXISTS
SELECT u.id FROM users u WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id) ORDER BY 1

-- case: IN a sub-select
SELECT id FROM logs WHERE user_id IN (SELECT id FROM users) ORDER BY 1

-- case: NOT IN a sub-select
SELECT id FROM logs WHERE user_id NOT IN (SELECT id FROM users) ORDER BY 1

-- case: a row IN a sub-select
SELECT id FROM items WHERE (order_id, sku) IN (SELECT o.id, 'pen' FROM orders o) ORDER BY 1

-- case: ANY and ALL over sub-selects
SELECT id FROM users WHERE age > ANY (SELECT age FROM users WHERE city = 'Paris') AND age <= ALL (SELECT age FROM users WHERE age IS NOT NULL)

-- case: ALL over a sub-select that would see a deleted row
SELECT id FROM users WHERE age >= ALL (SELECT age FROM users WHERE age IS NOT NULL)

-- case: a row comparison with a sub-select
SELECT (1, 'Ada') = (SELECT id, name FROM users WHERE id = 1), (4::bigint, 1) = (SELECT id, 1 FROM users WHERE id = 4)

-- case: a scalar sub-select in the target list
SELECT id, (SELECT count(*) FROM orders o WHERE o.user_id = u.id) AS n FROM users u ORDER BY id

-- case: a scalar sub-select in the target list over an unprotected table
SELECT l.id, (SELECT name FROM users WHERE users.id = l.user_id) FROM logs l ORDER BY l.id

-- case: a scalar sub-select without a table around it
SELECT (SELECT max(id) FROM users), (SELECT count(*) FROM orders WHERE total > 6000)

-- case: ARRAY of a sub-select
SELECT ARRAY(SELECT id FROM users ORDER BY id), ARRAY(SELECT name FROM users WHERE id IN (4, 10))

-- case: a sub-select in CASE
SELECT id, CASE WHEN EXISTS (SELECT FROM orders WHERE user_id = l.user_id) THEN (SELECT max(total) FROM orders WHERE user_id = l.user_id) ELSE -1 END
FROM logs l ORDER BY id

-- case: a sub-select in COALESCE, NULLIF, GREATEST
SELECT coalesce((SELECT name FROM users WHERE id = 4), 'nobody'), nullif((SELECT count(*) FROM users), 8),
    greatest((SELECT max(age) FROM users), 0)

-- case: a sub-select in a function argument
SELECT app.twice((SELECT count(*)::int FROM users)), concat((SELECT string_agg(name, '+' ORDER BY id) FROM users))

-- case: a sub-select in ORDER BY
SELECT l.id FROM logs l ORDER BY (SELECT count(*) FROM users u WHERE u.id = l.user_id), l.id DESC

-- case: a sub-select in LIMIT
SELECT id FROM logs ORDER BY id LIMIT (SELECT count(*) - 5 FROM users)

-- case: a sub-select in OFFSET
SELECT id FROM logs ORDER BY id OFFSET (SELECT count(*) FROM users WHERE city = 'London')

-- case: a sub-select in FETCH FIRST
SELECT id FROM logs ORDER BY id FETCH FIRST (SELECT count(*) FROM users WHERE city = 'London') ROWS ONLY

-- case: a sub-select in GROUP BY
SELECT (SELECT u.city FROM users u WHERE u.id = l.user_id) AS c, count(*) FROM logs l
GROUP BY (SELECT u.city FROM users u WHERE u.id = l.user_id) ORDER BY 1

-- case: a sub-select in HAVING
SELECT user_id FROM logs GROUP BY user_id HAVING count(*) > (SELECT count(*) FROM users WHERE city = 'Oslo') ORDER BY 1

-- case: a sub-select in FILTER
SELECT count(*) FILTER (WHERE l.user_id IN (SELECT id FROM users)) FROM logs l

-- case: a sub-select in an aggregate's argument
SELECT sum((SELECT count(*) FROM orders o WHERE o.user_id = l.user_id)) FROM logs l

-- case: a sub-select in an aggregate's ORDER BY
SELECT array_agg(l.id ORDER BY (SELECT u.age FROM users u WHERE u.id = l.user_id) NULLS FIRST, l.id) FROM logs l

-- case: a sub-select in DISTINCT ON
SELECT DISTINCT ON ((SELECT u.city FROM users u WHERE u.id = l.user_id)) l.id FROM logs l
ORDER BY (SELECT u.city FROM users u WHERE u.id = l.user_id), l.id

-- case: a sub-select in a join condition
SELECT u.id, l.id FROM users u JOIN logs l ON l.user_id = (SELECT min(x.id) FROM users x WHERE x.city = u.city) ORDER BY 1, 2

-- case: VALUES with sub-selects
VALUES ((SELECT count(*) FROM users), 'a'), ((SELECT max(id) FROM orders), (SELECT name FROM users WHERE id = 4))

-- case: VALUES in FROM with sub-selects
SELECT v.n FROM (VALUES ((SELECT count(*) FROM users)), ((SELECT count(*) FROM items))) AS v (n) ORDER BY n

-- case: VALUES with a limit of a sub-select
VALUES (1), (2), (3) ORDER BY 1 LIMIT (SELECT count(*) FROM tasks WHERE id > 1)

-- case: nesting to depth five
SELECT (SELECT (SELECT (SELECT (SELECT count(*) FROM users u5 WHERE u5.id <> u4.id) FROM users u4 WHERE u4.id = u3.id)
FROM users u3 WHERE u3.id = u2.id) FROM users u2 WHERE u2.id = u1.id) FROM users u1 ORDER BY u1.id

-- case: a correlated sub-select that shadows the outer alias
SELECT u.id, (SELECT count(*) FROM orders u WHERE u.user_id = 1) FROM users u ORDER BY 1

-- case: an inner table that hides the outer column
SELECT u.id FROM users u WHERE EXISTS (SELECT 1 FROM logs WHERE user_id = id AND deleted_at IS NULL) ORDER BY 1

-- case: an unprotected inner table must not capture the guard's column
SELECT l.id FROM logs l WHERE EXISTS (SELECT deleted_at FROM users WHERE id = l.user_id) ORDER BY 1

-- case: a correlated reference to the outer deletion column
SELECT u.id, (SELECT u.deleted_at IS NULL FROM logs l WHERE l.id = 1) FROM users u ORDER BY 1

-- case: a sub-select with the same unqualified name as outside
SELECT id FROM users WHERE id IN (SELECT user_id FROM orders WHERE id IN (SELECT order_id FROM items WHERE id IN (SELECT id FROM items)))
ORDER BY id

-- case: a sub-select in a cast and an operator
SELECT (SELECT count(*) FROM users)::text || '/' || (SELECT count(*) FROM orders)::text, - (SELECT count(*) FROM tasks)

-- case: a sub-select subscripted and field-selected
SELECT (SELECT array_agg(id ORDER BY id) FROM users)[2], (SELECT u FROM users u WHERE id = 1).name,
    (SELECT (array_agg(u ORDER BY id))[1] FROM users u).email

-- case: a sub-select in IS DISTINCT FROM, BETWEEN, LIKE
SELECT (SELECT name FROM users WHERE id = 4) IS DISTINCT FROM NULL,
    (SELECT count(*) FROM users) BETWEEN (SELECT 1) AND (SELECT count(*) FROM logs),
    (SELECT name FROM users WHERE id = 10) LIKE 'CAN%'

-- case: a sub-select with several rows fails as it does on the twin
-- expect: error 21000
SELECT (SELECT id FROM users)

-- case: a sub-select with one live and one deleted row works
SELECT (SELECT id FROM users WHERE email = 'ada@example.com')

-- case: a sub-select in an IN list of expressions
SELECT id FROM logs WHERE user_id IN ((SELECT min(id) FROM users), (SELECT max(id) FROM users), 4) ORDER BY 1

-- case: a sub-select in a boolean test
SELECT ((SELECT bool_or(is_deleted) FROM tasks) IS TRUE), ((SELECT bool_and(gone) FROM memos) IS UNKNOWN)

-- case: a sub-select in XML and JSON constructors
SELECT json_build_object('n', (SELECT count(*) FROM users), 'names', (SELECT json_agg(name ORDER BY id) FROM users))

-- case: a sub-select in a ROW constructor
SELECT ROW((SELECT count(*) FROM users), (SELECT max(name) FROM users WHERE city = 'London'))

-- case: a sub-select in an array constructor
SELECT ARRAY[(SELECT min(age) FROM users), (SELECT max(age) FROM users)]

-- case: FOR UPDATE in a sub-select
SELECT s.id FROM (SELECT id FROM users ORDER BY id FOR UPDATE) s ORDER BY 1

-- case: a sub-select with its own limit
SELECT s.id FROM (SELECT id FROM users ORDER BY age DESC NULLS LAST LIMIT 1) s

-- case: a sub-select in the arguments of generate_series
SELECT g FROM generate_series(1, (SELECT count(*)::int FROM users)) AS g ORDER BY g

-- case: the COLLATE and AT TIME ZONE of a sub-select
SELECT (SELECT max(name) FROM users) COLLATE "C", (SELECT max(created_at) FROM users) AT TIME ZONE 'UTC'

-- case: sub-selects on both sides of an operator in a join
SELECT count(*) FROM users u JOIN orders o ON (SELECT u.id) = (SELECT o.user_id)

-- case: a sub-select with aggregates of the outer query
SELECT city, (SELECT count(*) FROM users x WHERE x.age > max(u.age)) FROM users u GROUP BY city ORDER BY city

-- case: a sub-select without FROM that holds another
SELECT (SELECT (SELECT count(*) FROM users))

-- case: IN a VALUES list with a sub-select
SELECT id FROM users WHERE id IN (VALUES ((SELECT min(id) FROM orders) - 99), (4)) ORDER BY 1

-- case: a sub-select in a named argument
SELECT make_interval(days => (SELECT count(*)::int FROM users))

-- case: a sub-select as a variadic argument
SELECT concat_ws(',', VARIADIC (SELECT array_agg(name ORDER BY id) FROM users))

-- case: NOT IN with NULLs among live rows
SELECT count(*) FROM logs WHERE user_id NOT IN (SELECT manager_id FROM users)

-- case: a sub-select over ONLY and over partitions
SELECT (SELECT count(*) FROM ONLY animals), (SELECT sum(value) FROM measures), (SELECT count(*) FROM ONLY measures)
