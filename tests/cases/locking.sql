-- # Row locks.
-- path: app, public

-- case: for update
SELECT id FROM users ORDER BY id FOR UPDATE

-- case: for share
SELECT id FROM users WHERE id < 6 ORDER BY id FOR SHARE

-- case: for no key update and for key share
SELECT u.id, o.id FROM users u, orders o WHERE o.user_id = u.id ORDER BY 2 FOR NO KEY UPDATE OF u FOR KEY SHARE OF o

-- case: for update of an alias
SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id ORDER BY 2 FOR UPDATE OF o

-- case: for update of a table name
SELECT users.id FROM users JOIN logs ON logs.user_id = users.id ORDER BY 1 FOR UPDATE OF users

-- case: for update skip locked
SELECT id FROM tasks ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED

-- case: for update nowait
SELECT id FROM tasks WHERE id IN (1, 4) FOR UPDATE NOWAIT

-- case: for update of both sides of a comma join
SELECT t.id, m.id FROM tasks t, memos m WHERE t.id = m.id FOR UPDATE OF t, m

-- case: for update of the outer side of a left join
SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY 1, 2 FOR UPDATE OF u

-- case: for update of the nullable side fails as always
-- expect: error 0A000
-- order: no
SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id FOR UPDATE OF o

-- case: for update over a join tree
SELECT u.id FROM (users u JOIN orders o ON o.user_id = u.id) ORDER BY o.id FOR UPDATE

-- case: for update in a sub-select that feeds an update
UPDATE tasks SET title = 'taken' WHERE id = (SELECT id FROM tasks ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id

-- case: for update in a CTE that feeds a delete
WITH next AS (SELECT id FROM tasks ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) DELETE FROM tasks USING next WHERE next.id = tasks.id RETURNING tasks.id

-- case: for update with limit before it
SELECT id FROM users ORDER BY id LIMIT 2 FOR UPDATE

-- case: for update and a table that is not there
-- expect: error 42P01
SELECT id FROM users FOR UPDATE OF nope

-- case: for update with an aggregate fails
-- expect: error 0A000
-- order: no
SELECT count(*) FROM users FOR UPDATE

-- case: for update over a partitioned table
SELECT id FROM measures ORDER BY id FOR UPDATE

-- case: for update over a partitioned table and inheritance by ONLY
SELECT id FROM ONLY animals FOR UPDATE

-- case: for read only
SELECT id FROM users ORDER BY id FOR READ ONLY

-- case: for update of a sub-select's alias
SELECT s.id FROM (SELECT id FROM users) s ORDER BY 1 FOR UPDATE OF s

-- case: for update where the empty relation of a guard would count
SELECT u.id FROM users u CROSS JOIN tasks t WHERE t.id = 1 ORDER BY 1 FOR UPDATE
