-- # Data-modifying WITH.
-- path: app, public

-- case: delete in a CTE
WITH d AS (DELETE FROM orders WHERE user_id = 1 RETURNING *) SELECT id, deleted_at FROM d ORDER BY id

-- case: delete in a CTE without returning
WITH d AS (DELETE FROM orders WHERE id = 100) SELECT count(*) FROM orders

-- case: delete in a CTE and a read of the same table sees the old state
WITH d AS (DELETE FROM tasks RETURNING id) SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM tasks)

-- case: move rows
WITH moved AS (DELETE FROM orders WHERE status = 'paid' RETURNING id, note) INSERT INTO logs (id, message) SELECT id, note FROM moved

-- case: move rows back
WITH moved AS (DELETE FROM logs WHERE user_id = 1 RETURNING id, message) INSERT INTO tasks (id, title) SELECT id + 100, message FROM moved RETURNING id, title

-- case: delete children then parents in one statement
WITH i AS (DELETE FROM items WHERE order_id = 100 RETURNING order_id) DELETE FROM orders WHERE id IN (SELECT order_id FROM i) RETURNING id

-- case: a top-level delete with a deleting CTE
WITH d AS (DELETE FROM tasks WHERE id = 1 RETURNING id) DELETE FROM memos USING d WHERE memos.id = d.id

-- case: a top-level update with a deleting CTE
WITH d AS (DELETE FROM tasks RETURNING id) UPDATE memos SET body = 'u' FROM d WHERE memos.id = d.id RETURNING memos.id

-- case: an updating CTE
WITH u AS (UPDATE users SET age = age + 1 RETURNING id, age) SELECT * FROM u ORDER BY id

-- case: an updating CTE that feeds a delete
WITH u AS (UPDATE users SET city = 'x' WHERE id > 4 RETURNING id) DELETE FROM tasks USING u WHERE u.id = tasks.id + 4 RETURNING tasks.id

-- case: an inserting CTE
WITH i AS (INSERT INTO logs (id, message) SELECT id + 100, name FROM users RETURNING id) SELECT count(*) FROM i

-- case: an upserting CTE
WITH i AS (INSERT INTO accounts (id, handle, balance) VALUES (90, 'beta', 1) ON CONFLICT (handle) DO UPDATE SET balance = excluded.balance RETURNING *)
SELECT * FROM i

-- case: a CTE named like the deleted table
WITH orders AS (SELECT 100 AS id) DELETE FROM orders USING orders AS o2 WHERE o2.id = orders.id

-- case: a CTE named like the deleted table used in a sub-select
WITH orders AS (SELECT 100 AS id) DELETE FROM orders WHERE id IN (SELECT id FROM orders)

-- case: a CTE named like the table that another CTE deletes from
WITH orders AS (SELECT 101 AS id), d AS (DELETE FROM orders WHERE id IN (SELECT id FROM orders) RETURNING id) SELECT * FROM d

-- case: a CTE named like an updated table
WITH tasks AS (SELECT 2 AS id) UPDATE tasks SET title = 'cte' FROM tasks AS t2 WHERE t2.id = tasks.id RETURNING tasks.id, tasks.title

-- case: a CTE named like the table inserted into
WITH logs AS (SELECT id + 100 AS id, name FROM users) INSERT INTO logs (id, message) SELECT id, name FROM logs

-- case: two deletes of different tables
WITH a AS (DELETE FROM tasks WHERE id < 3 RETURNING id), b AS (DELETE FROM memos WHERE id < 3 RETURNING id) SELECT a.id, b.id FROM a FULL JOIN b USING (id) ORDER BY 1

-- case: a recursive WITH that deletes a sub-tree
WITH RECURSIVE sub AS (SELECT node.node FROM node WHERE node.node = 2 UNION ALL SELECT n.node FROM node n JOIN sub s ON n.parent = s.node)
DELETE FROM node WHERE node.node IN (SELECT sub.node FROM sub) RETURNING node.node, label

-- case: a deleting CTE with its own WITH
WITH d AS (WITH users AS (SELECT 1 AS id) DELETE FROM orders USING users WHERE users.id = orders.user_id RETURNING orders.id) SELECT * FROM d ORDER BY 1

-- case: a deleting CTE in a sub-select is refused by the server
-- expect: error 0A000
SELECT * FROM (WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d) s

-- case: a deleting CTE whose rows are joined to the deleted table
WITH d AS (DELETE FROM users WHERE id IN (5, 6) RETURNING *) SELECT d.id, u.id, d.deleted_at FROM d LEFT JOIN users u ON u.manager_id = d.id ORDER BY 1

-- case: a deleting CTE with a returning whole row
WITH d AS (DELETE FROM tasks t WHERE id = 1 RETURNING t) SELECT (d.t).title FROM d

-- case: a deleting CTE with column aliases
WITH d (k, gone) AS (DELETE FROM orders WHERE id = 100 RETURNING id, deleted_at) SELECT k, gone IS NULL FROM d

-- case: insert from a deleting CTE with a WITH inside the insert's select
-- expect: error 0A000
INSERT INTO logs (id, message) WITH d AS (DELETE FROM orders RETURNING id) SELECT id, 'x' FROM d

-- case: a delete in a CTE of an unprotected table by a protected sub-select
WITH d AS (DELETE FROM logs WHERE user_id IN (SELECT id FROM users) RETURNING id) SELECT count(*) FROM d
