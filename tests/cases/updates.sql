-- # UPDATE leaves deleted rows alone.
-- path: app, public

-- case: update all
UPDATE users SET age = coalesce(age, 0) + 1

-- case: update by key
UPDATE users SET name = 'Eva' WHERE id = 5

-- case: update a deleted row
UPDATE users SET name = 'Zed' WHERE id = 4

-- case: update with OR
UPDATE orders SET status = 'x' WHERE status = 'new' OR total > 30

-- case: update with an alias
UPDATE orders AS o SET note = 'n' WHERE o.id < 103

-- case: update ONLY
UPDATE ONLY animals SET name = name || '!'

-- case: update a parent
UPDATE animals SET name = upper(name)

-- case: update a partitioned table
UPDATE measures SET value = value + 1

-- case: update that moves a row to another partition
UPDATE measures SET day = '2026-06-06' WHERE id = 1

-- case: update with FROM
UPDATE orders SET note = users.name FROM users WHERE users.id = orders.user_id

-- case: update with FROM where the joined row is deleted
UPDATE orders o SET note = 'hidden' FROM users u WHERE u.id = o.user_id AND u.id = 4

-- case: update with a self join
UPDATE users e SET city = m.city FROM users m WHERE m.id = e.manager_id

-- case: update with a join tree
UPDATE items i SET sku = coalesce(u.name, 'none') FROM orders o LEFT JOIN users u ON u.id = o.user_id WHERE o.id = i.order_id

-- case: update with LATERAL
UPDATE orders o SET total = x.t FROM users u, LATERAL (SELECT max(i.price) AS t FROM items i WHERE i.order_id = u.id + 99) x
WHERE u.id = o.user_id

-- case: update with LATERAL that names the target
-- expect: error 42P10
UPDATE orders o SET total = x.t FROM LATERAL (SELECT max(i.price) AS t FROM items i WHERE i.order_id = o.id) x

-- case: update with a sub-select in SET
UPDATE orders o SET total = (SELECT sum(qty * price) FROM items i WHERE i.order_id = o.id)

-- case: update with a multi-assignment
UPDATE orders o SET (placed_on, note) = (SELECT u.created_at::date, u.name FROM users u WHERE u.id = o.user_id)

-- case: update with a multi-assignment of three and a plain one
UPDATE orders o SET (status, note) = (SELECT coalesce(u.city, 'none'), u.name FROM users u WHERE u.id = o.user_id), total = 1,
    (placed_on) = (SELECT max(x.placed_on) FROM orders x)
WHERE o.id <> 104

-- case: update with a row constructor
UPDATE users SET (name, age) = ('Row', (SELECT count(*)::int FROM users)) WHERE id = 5

-- case: update with ROW and DEFAULT
UPDATE users SET (name, created_at) = ROW ('Row', DEFAULT) WHERE id IN (5, 4)

-- case: update with EXISTS
UPDATE users u SET age = 0 WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)

-- case: update with IN
UPDATE logs SET message = 'known' WHERE user_id IN (SELECT id FROM users)

-- case: update an unprotected table from a protected one
UPDATE logs SET message = u.name FROM users u WHERE u.id = logs.user_id

-- case: update of arrays and jsonb
UPDATE products SET tags[1] = 'x', attrs['w'] = '9', sizes = sizes || 4 WHERE sku IN ('pen', 'old')

-- case: update of the key
UPDATE tasks SET id = id + 100

-- case: update of a unique key to one that a deleted row has under a partial index
UPDATE users SET email = (SELECT 'moved@example.com') WHERE id = 5

-- case: update to an email that live rows have
-- expect: error 23505
UPDATE users SET email = 'ada@example.com' WHERE id = 5

-- case: update of a quoted table
UPDATE "Weird Name" SET "Quoted ""Col" = 'set', "select" = "select" + 1 WHERE "Id" > 0

-- case: update of a boolean table
UPDATE memos SET body = body || '.'

-- case: update that deletes by hand
UPDATE orders SET deleted_at = '2026-03-03 00:00:00+00' WHERE id IN (100, 105) RETURNING id, deleted_at

-- case: update that tries to bring rows back
UPDATE orders SET deleted_at = NULL

-- case: update that tries to bring rows back by name
UPDATE users SET deleted_at = NULL, deleted_by = NULL WHERE deleted_at IS NOT NULL RETURNING *

-- case: update of a boolean deletion column back to false
UPDATE tasks SET is_deleted = false

-- case: update with a parameter
-- bind: ["named", "100"]
UPDATE orders SET note = $1 WHERE id = $2

-- case: update without WHERE and a trailing comment
UPDATE orders SET note = 'x' -- all

-- case: update with WHERE and a trailing comment
UPDATE orders SET note = 'x' WHERE id = 100 OR id = 105 -- two

-- case: update of generated columns follows
UPDATE invoices SET net = net + 1 RETURNING id, net, tax, gross

-- case: update with an unknown column
-- expect: error 42703
UPDATE orders SET nope = 1

-- case: update with an unknown column in WHERE
-- expect: error 42703
UPDATE orders SET note = 'x' WHERE nope = 1

-- case: update that fails on a check of a domain cast
-- expect: error 23514
UPDATE orders SET note = repeat('x', 300)::short_text WHERE id = 100

-- case: update from VALUES
UPDATE orders SET total = v.t FROM (VALUES (100, 1.0), (105, 2.0)) AS v (id, t) WHERE v.id = orders.id

-- case: update from a function
UPDATE tasks SET title = 't' || g.n FROM generate_series(1, 9) AS g (n) WHERE g.n = tasks.id

-- case: update with a CTE's name as target is still the table
WITH orders AS (SELECT 1) UPDATE orders SET note = 'target' WHERE id = 100

-- case: update of the foreign key to a live user
UPDATE orders SET user_id = 5 WHERE user_id = 1

-- case: update with a condition on the deletion column
UPDATE users SET age = 1 WHERE deleted_at < now()

-- case: update as a role without the privilege
-- role: oracle_clerk
-- expect: error 42501
UPDATE orders SET note = 'x'

-- case: update with NOT and a row comparison
UPDATE items SET qty = 1 WHERE NOT (id, qty) = (1000, 2)

-- case: update of one table through its alias that is another table's name
UPDATE users AS orders SET age = 7 WHERE orders.id IN (SELECT user_id FROM app.orders)

-- case: update of keys of unprotected parents that cascade to other rows
UPDATE areas SET id = id + 10
-- next
UPDATE authors SET id = 9 WHERE id = 3

-- case: an upsert that changes a key of an unprotected parent
INSERT INTO areas VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 11

-- case: update through a view of an unprotected parent that cascades on delete
UPDATE category_titles SET title = 'x' WHERE id = 1
