-- # LATERAL.
-- path: app, public

-- case: a lateral sub-select
SELECT u.id, x.n FROM users u, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x ORDER BY u.id

-- case: a left join lateral
SELECT u.id, x.id FROM users u LEFT JOIN LATERAL (SELECT o.id FROM orders o WHERE o.user_id = u.id ORDER BY o.total DESC LIMIT 1) x ON true ORDER BY 1

-- case: a cross join lateral over an unprotected table
SELECT l.id, x.name FROM logs l CROSS JOIN LATERAL (SELECT name FROM users u WHERE u.id = l.user_id) x ORDER BY 1

-- case: a lateral chain
SELECT u.id, o.id, i.id FROM users u, LATERAL (SELECT * FROM orders o WHERE o.user_id = u.id) o, LATERAL (SELECT * FROM items i WHERE i.order_id = o.id) i ORDER BY 1, 2, 3

-- case: a lateral function
SELECT p.sku, t.tag, t.ord FROM products p, unnest(p.tags) WITH ORDINALITY AS t (tag, ord) ORDER BY 1, 3

-- case: a lateral json function
SELECT p.sku, x ->> 'n' FROM products p, jsonb_array_elements(CASE WHEN p.attrs = 'null' THEN '[]' ELSE p.attrs -> 'parts' END) AS x ORDER BY 1, 2

-- case: a lateral left join of a function
SELECT p.sku, t FROM products p LEFT JOIN LATERAL unnest(p.sizes) AS t ON true ORDER BY 1, 2

-- case: a lateral VALUES
SELECT u.id, v.x FROM users u CROSS JOIN LATERAL (VALUES (u.id), (u.id * 2)) AS v (x) ORDER BY 1, 2

-- case: a lateral in a nested join
SELECT u.id, j.oid, j.n FROM users u LEFT JOIN (orders o JOIN LATERAL (SELECT count(*) AS n FROM items i WHERE i.order_id = o.id) c ON true) AS j (oid) ON j.user_id = u.id ORDER BY 1, 2

-- case: a lateral that refers to a later table fails
-- expect: error 42P01
SELECT 1 FROM LATERAL (SELECT u.id) x, users u

-- case: a lateral of a lateral's aggregate
SELECT u.city, x.m FROM users u JOIN LATERAL (SELECT max(y.total) AS m FROM (SELECT o.total FROM orders o WHERE o.user_id = u.id) y) x ON x.m > 1 ORDER BY u.id

-- case: a lateral union
SELECT u.id, x.id FROM users u, LATERAL (SELECT id FROM orders WHERE user_id = u.id UNION ALL SELECT id FROM tasks WHERE id = u.id) x ORDER BY 1, 2

-- case: a lateral with an outer aggregate in a grouped query
SELECT u.city, count(*), sum(x.n) FROM users u, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x GROUP BY u.city ORDER BY 1

-- case: a lateral inside a correlated sub-select
SELECT u.id, (SELECT max(x.total) FROM orders o, LATERAL (SELECT o.total WHERE o.user_id = u.id) x) FROM users u ORDER BY 1

-- case: a table right after a lateral item
SELECT u.id, x.one, t.id FROM users u, LATERAL (SELECT u.id AS one) x, tasks t WHERE t.id = x.one ORDER BY 1
