-- # Set operations.
-- path: app, public

-- case: UNION ALL of two protected tables
SELECT id FROM users UNION ALL SELECT id FROM orders

-- case: UNION removes doubles
SELECT city FROM users UNION SELECT 'Rome' ORDER BY 1

-- case: EXCEPT
SELECT user_id FROM logs WHERE user_id IS NOT NULL EXCEPT SELECT id FROM users

-- case: EXCEPT ALL
SELECT id FROM users EXCEPT ALL SELECT user_id FROM orders ORDER BY 1

-- case: INTERSECT
SELECT user_id FROM logs INTERSECT SELECT id FROM users ORDER BY 1

-- case: INTERSECT binds tighter
SELECT 4::bigint UNION SELECT user_id FROM logs INTERSECT SELECT id FROM users ORDER BY 1

-- case: arms with their own ORDER BY and LIMIT
(SELECT id FROM users ORDER BY id DESC LIMIT 2) UNION ALL (SELECT id FROM orders ORDER BY id LIMIT 2) ORDER BY 1

-- case: arms with WHERE
SELECT id FROM users WHERE city = 'London' UNION SELECT id FROM users WHERE age > 60 OR city = 'Paris' ORDER BY 1 LIMIT 4

-- case: the TABLE form in arms
TABLE tasks UNION ALL TABLE tasks

-- case: TABLE and VALUES in arms
TABLE memos UNION ALL VALUES (77, 'x', false) ORDER BY 1

-- case: the TABLE form in both arms in parentheses
(TABLE tasks) EXCEPT (TABLE tasks LIMIT 0)

-- case: arms over comma joins
SELECT u.id FROM users u, orders o WHERE o.user_id = u.id UNION SELECT i.id FROM items i, orders o WHERE i.order_id = o.id ORDER BY 1

-- case: a union in a sub-select
SELECT count(*), sum(id) FROM (SELECT id FROM users UNION SELECT id FROM items) s

-- case: a union in EXISTS and IN
SELECT id FROM logs WHERE user_id IN (SELECT id FROM users UNION SELECT user_id FROM orders) ORDER BY 1

-- case: a deep chain of unions
SELECT id FROM users UNION ALL SELECT id FROM users UNION ALL SELECT id FROM users UNION ALL SELECT id FROM users
UNION ALL SELECT id FROM users UNION ALL SELECT id FROM users ORDER BY 1 OFFSET 20

-- case: unions nested to the right
SELECT 1::bigint UNION ALL (SELECT id FROM users UNION ALL (SELECT id FROM orders EXCEPT SELECT id FROM orders WHERE total > 20))

-- case: an arm with an aggregate and a window
SELECT count(*) FROM users UNION ALL SELECT sum(total) OVER () FROM orders ORDER BY 1

-- case: an arm without a table
SELECT 1::bigint AS id UNION SELECT id FROM users ORDER BY id

-- case: a union whose column types must be resolved
SELECT total FROM orders WHERE total > 10 UNION SELECT id FROM users ORDER BY 1

-- case: mismatched arms
-- expect: error 42601
SELECT id, name FROM users UNION SELECT id FROM orders

-- case: order by an expression over a union is refused by the server
-- expect: error 0A000
-- order: no
SELECT id FROM users UNION SELECT id FROM orders ORDER BY id + 1

-- case: a union of parent, child and partition
SELECT id, name FROM animals UNION ALL SELECT id, name FROM ONLY dogs UNION ALL SELECT id, label FROM measures_2025 ORDER BY 1, 2
