-- # RETURNING: a DELETE gives the row as it was.
-- path: app, public

-- case: delete returning a key
DELETE FROM orders WHERE id = 100 RETURNING id

-- case: delete returning everything
DELETE FROM orders WHERE user_id = 1 RETURNING *

-- case: delete returning everything of users
DELETE FROM users WHERE id IN (5, 6) RETURNING *

-- case: delete returning the deletion column
DELETE FROM users WHERE id = 5 RETURNING id, deleted_at, deleted_by, deletion_id

-- case: delete returning the deletion column by table name
DELETE FROM users WHERE id = 5 RETURNING users.deleted_at, users.*

-- case: delete returning the deletion column by schema and table
DELETE FROM app.users WHERE id = 5 RETURNING app.users.deleted_at, app.users.*

-- case: delete returning an alias's columns
DELETE FROM users AS u WHERE u.id = 5 RETURNING u.*, u.deleted_at IS NULL AS live

-- case: delete returning expressions
DELETE FROM orders o WHERE o.total > 10 RETURNING o.id * 2 AS twice, upper(o.note), coalesce(o.deleted_at::text, 'live')

-- case: delete returning a boolean deletion column
DELETE FROM tasks WHERE id = 1 RETURNING *

-- case: delete returning a boolean deletion column that may be NULL
-- min-version: 18
DELETE FROM memos WHERE id IN (1, 2) RETURNING id, gone, memos.*

-- case: delete returning a boolean deletion column that may be NULL cannot tell false from NULL
-- max-version: 17
-- expect: refused 0A000
DELETE FROM memos WHERE id IN (1, 2) RETURNING id, gone, memos.*

-- case: delete returning other columns where the boolean deletion column may be NULL
DELETE FROM memos WHERE id IN (1, 2) RETURNING id, upper(body)

-- case: delete returning a timestamp deletion column
DELETE FROM events RETURNING *

-- case: delete returning quoted names
DELETE FROM "Weird Name" RETURNING *, "Deleted At", "Weird Name"."Deleted At" IS NULL

-- case: delete returning the whole row
DELETE FROM users u WHERE u.id = 5 RETURNING u

-- case: delete returning the whole row as JSON
DELETE FROM users u WHERE u.id = 5 RETURNING row_to_json(u), to_jsonb(u.*)

-- case: delete returning columns of the used tables
DELETE FROM orders o USING users u WHERE u.id = o.user_id AND u.city = 'London' RETURNING o.id, u.name, u.deleted_at, o.deleted_at

-- case: delete returning star over all used tables
DELETE FROM orders USING users WHERE users.id = orders.user_id RETURNING *

-- case: delete returning star with a used table that has the deletion column too
DELETE FROM items i USING orders o WHERE o.id = i.order_id RETURNING *

-- case: delete returning the whole row of a used table
DELETE FROM items i USING orders o WHERE o.id = i.order_id RETURNING o, i.id

-- case: delete returning a self join
DELETE FROM users a USING users b WHERE b.id = a.manager_id AND a.id = 5 RETURNING a.id, b.id, a.deleted_at, b.deleted_at

-- case: delete returning a sub-select
DELETE FROM orders o WHERE id < 103 RETURNING id, (SELECT name FROM users u WHERE u.id = o.user_id)

-- case: delete returning a sub-select over itself sees the row still
DELETE FROM orders WHERE id = 100 RETURNING (SELECT count(*) FROM orders)

-- case: delete returning a correlated sub-select on the deletion column
DELETE FROM users u WHERE u.id = 5 RETURNING (SELECT count(*) FROM logs l WHERE l.user_id = u.id AND u.deleted_at IS NULL)

-- case: delete returning nothing
DELETE FROM users WHERE id = 4 RETURNING *

-- case: delete returning generated columns
DELETE FROM invoices RETURNING *

-- case: delete returning from a table with dropped columns
DELETE FROM relics RETURNING *

-- case: delete returning from a partitioned table
DELETE FROM measures RETURNING id, day, deleted_at, tableoid::regclass

-- case: delete returning star from a partitioned table
DELETE FROM measures WHERE value >= 30 RETURNING *

-- case: delete returning from an inheritance parent
DELETE FROM animals RETURNING *

-- case: delete returning from an inheritance child
DELETE FROM dogs RETURNING *, tableoid::regclass

-- case: delete returning a CASE on the deletion column
DELETE FROM orders WHERE id = 100 RETURNING CASE WHEN deleted_at IS NULL THEN 'was live' ELSE 'was not' END

-- case: delete returning with output names
DELETE FROM orders WHERE id = 100 RETURNING id AS "Key", deleted_at AS gone_at, note "n"

-- case: delete returning an unnamed expression of the deletion column
DELETE FROM orders WHERE id = 100 RETURNING deleted_at::date, coalesce(deleted_at, 'epoch'), (deleted_at), deleted_at IS NULL

-- case: delete returning an unknown column
-- expect: error 42703
DELETE FROM orders WHERE id = 100 RETURNING nope

-- case: delete returning an unknown column after the deletion column
-- expect: error 42703
DELETE FROM orders WHERE id = 100 RETURNING deleted_at, deleted_at, nope

-- case: delete returning a column of the wrong table
-- expect: error 42P01
DELETE FROM orders WHERE id = 100 RETURNING users.id

-- case: delete returning with parameters
-- bind: ["100", "x"]
DELETE FROM orders WHERE id = $1::bigint RETURNING id, $2::text, deleted_at

-- case: delete returning a composite field
DELETE FROM users u WHERE id = 5 RETURNING (u).deleted_at, (u).name, (u.*).id

-- case: update returning
UPDATE users SET age = age + 1 WHERE city = 'London' RETURNING id, age

-- case: update returning everything
UPDATE orders SET status = 'x' WHERE total > 1 RETURNING *

-- case: update returning a sub-select
UPDATE logs SET message = 'seen' RETURNING id, (SELECT name FROM users u WHERE u.id = user_id)

-- case: update returning from a join
UPDATE orders o SET note = u.name FROM users u WHERE u.id = o.user_id RETURNING o.id, o.note, u.*

-- case: insert returning
INSERT INTO orders (id, user_id, total) VALUES (200, 1, 1) RETURNING *

-- case: insert returning a sub-select
INSERT INTO logs VALUES (50, 4, 'm', NULL) RETURNING id, (SELECT name FROM users u WHERE u.id = user_id), (SELECT count(*) FROM users)

-- case: insert returning the whole row
INSERT INTO tasks AS t (id, title) VALUES (50, 'new') RETURNING t

-- case: delete returning old and new
-- min-version: 18
DELETE FROM orders WHERE id = 100 RETURNING old.id, new.id, old.deleted_at, new.deleted_at

-- case: delete returning old star
-- min-version: 18
DELETE FROM orders WHERE id = 100 RETURNING old.*

-- case: delete returning new star
-- min-version: 18
DELETE FROM orders WHERE id = 100 RETURNING new.*

-- case: delete returning renamed old and new
-- min-version: 18
DELETE FROM orders WHERE id = 100 RETURNING WITH (OLD AS o, NEW AS n) o.id, n.id, o.deleted_at IS NULL

-- case: delete returning whole old and new rows
-- min-version: 18
DELETE FROM orders WHERE id = 100 RETURNING old, new

-- case: update returning old and new
-- min-version: 18
UPDATE orders SET total = total + 1 WHERE user_id = 1 RETURNING id, old.total, new.total

-- case: old and new are only names before version 18
-- max-version: 17
-- expect: error 42P01
DELETE FROM orders WHERE id = 100 RETURNING old.id

-- case: a target called old
DELETE FROM orders AS old WHERE old.id = 100 RETURNING old.id, old.deleted_at

-- case: a delete whose alias is the deletion column's name
DELETE FROM orders AS deleted_at WHERE deleted_at.id = 100 RETURNING deleted_at.id, deleted_at.deleted_at

-- case: delete returning unqualified columns of either side
DELETE FROM orders USING users WHERE users.id = orders.user_id AND users.city = 'London' RETURNING total, name, email

-- case: delete returning unqualified columns beside a sub-select
DELETE FROM orders USING (SELECT id AS uid, name AS who FROM users) u WHERE uid = user_id RETURNING total, who, note

-- case: delete returning unqualified columns beside a CTE
WITH picked AS (SELECT id AS pid FROM orders WHERE total > 10) DELETE FROM orders USING picked WHERE pid = id RETURNING id, total, pid

-- case: delete returning unqualified columns beside a function
DELETE FROM tasks USING generate_series(1, 2) AS g WHERE g = id RETURNING id, g, title

-- case: delete returning unqualified columns beside a join tree
DELETE FROM items USING orders o JOIN users u ON u.id = o.user_id WHERE o.id = order_id RETURNING qty, sku, o.total, city

-- case: delete returning the unqualified deletion column beside a table without one
DELETE FROM orders USING logs WHERE logs.user_id = orders.user_id AND logs.id = 1 RETURNING deleted_at, total, message

-- case: delete returning an ambiguous deletion column
-- expect: refused 0A000
DELETE FROM orders USING users WHERE users.id = orders.user_id RETURNING deleted_at

-- case: delete returning a column that is the table's own name
DELETE FROM node WHERE parent = 2 RETURNING node, label

-- case: delete returning the alias of another table as whole row
DELETE FROM orders o USING users u WHERE u.id = o.user_id AND u.id = 1 RETURNING u, o.id

-- case: delete returning a sub-select with a star of its own
DELETE FROM articles AS r WHERE id = 1 RETURNING r.id, (SELECT max(s.x) FROM (SELECT * FROM (SELECT 1 AS x) AS t) AS s)

-- case: delete returning a count over a star, beside another source
DELETE FROM orders o USING users u WHERE u.id = o.user_id RETURNING o.id, (SELECT count(*) FROM (SELECT * FROM items) AS i)

-- case: delete returning a sub-select that takes the table's own name for another
DELETE FROM tasks AS r WHERE id = 1 RETURNING r.id, (SELECT max(r.id) FROM orders AS r), (SELECT max(r.note) FROM orders AS r)

-- case: delete returning a sub-select from the table itself
DELETE FROM tasks WHERE id = 1 RETURNING (SELECT max(tasks.id) FROM tasks), (SELECT count(tasks) FROM tasks)

-- case: delete returning a sub-select in which a neighbour takes the name too late
DELETE FROM tasks AS r WHERE id = 1 RETURNING (SELECT max(s.x + r.id) FROM (SELECT r.id AS x) AS s, orders AS r)

-- case: delete returning a lateral sub-select beside a source of the same name
DELETE FROM tasks AS r WHERE id = 1 RETURNING (SELECT max(s.x) FROM orders AS r, LATERAL (SELECT r.id AS x) AS s)

-- case: delete returning a sub-select whose arms differ in what they call the name
DELETE FROM tasks AS r WHERE id = 1 RETURNING ARRAY(SELECT r.id FROM orders AS r UNION ALL SELECT r.id FROM memos m ORDER BY 1)

-- case: delete returning the deletion column of a sub-select's source of the same name
DELETE FROM orders AS r WHERE id = 100 RETURNING r.deleted_at, (SELECT max(r.deleted_at) FROM public.users AS r)

-- case: delete returning a sub-select in which the table's name may be a column
-- expect: refused 0A000
DELETE FROM orders WHERE id = 100 RETURNING (SELECT max(orders) FROM city_sizes)

-- case: delete returning a sub-select in which the table's name is a qualified column
DELETE FROM orders WHERE id = 100 RETURNING (SELECT max(c.orders) FROM city_sizes AS c), orders.id

-- case: delete returning a sub-select with a join under an alias that takes the table's name
DELETE FROM tasks AS r WHERE id = 1 RETURNING r.id, (SELECT max(j.a) FROM (orders AS r JOIN items AS i ON r.id = i.id) AS j (a, b) WHERE r.id = 1)

-- case: delete returning a function that stands before a table of the same name
DELETE FROM orders AS r WHERE id = 100 RETURNING (SELECT max(u.x) FROM unnest(ARRAY[r.deleted_at]) AS u(x), tasks AS r)
