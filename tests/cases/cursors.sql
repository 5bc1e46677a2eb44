-- # Cursors, and writes at their position.
-- path: app, public

-- case: declare, fetch all, close
DECLARE c CURSOR FOR SELECT id, name FROM users ORDER BY id
-- next
FETCH ALL FROM c
-- next
CLOSE c

-- case: fetch forward and backward
DECLARE c SCROLL CURSOR FOR SELECT id FROM users ORDER BY id
-- next
FETCH 3 FROM c
-- next
FETCH BACKWARD 2 FROM c
-- next
FETCH LAST FROM c
-- next
FETCH ABSOLUTE 4 FROM c
-- next
FETCH RELATIVE -1 FROM c

-- case: move
DECLARE c SCROLL CURSOR FOR SELECT id FROM users ORDER BY id
-- next
MOVE 5 FROM c
-- next
FETCH NEXT FROM c
-- next
MOVE ALL FROM c
-- next
FETCH NEXT FROM c

-- case: a cursor over a join
DECLARE c CURSOR FOR SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY 1, 2
-- next
FETCH FORWARD ALL IN c

-- case: a cursor with a CTE and WITH HOLD
DECLARE c CURSOR WITH HOLD FOR WITH users AS (SELECT * FROM users WHERE id > 5) SELECT id FROM users ORDER BY id
-- next
FETCH 10 c

-- case: a binary cursor
DECLARE c BINARY CURSOR FOR SELECT id FROM users ORDER BY id
-- next
FETCH ALL c

-- case: a cursor over the table form
DECLARE c CURSOR FOR TABLE tasks
-- next
FETCH ALL c

-- case: a cursor over VALUES with a sub-select
DECLARE c CURSOR FOR VALUES ((SELECT count(*) FROM users))
-- next
FETCH ALL c

-- case: delete where current of
DECLARE c CURSOR FOR SELECT * FROM orders ORDER BY id FOR UPDATE
-- next
FETCH 2 FROM c
-- next
DELETE FROM orders WHERE CURRENT OF c
-- next
SELECT id FROM orders ORDER BY id

-- case: delete where current of with returning
DECLARE c CURSOR FOR SELECT id FROM tasks FOR UPDATE
-- next
FETCH 1 FROM c
-- next
DELETE FROM tasks WHERE CURRENT OF c RETURNING *

-- case: delete where current of with an alias
DECLARE "My C" CURSOR FOR SELECT id FROM tasks FOR UPDATE
-- next
FETCH 1 FROM "My C"
-- next
DELETE FROM tasks t WHERE CURRENT OF "My C" RETURNING t.id

-- case: update where current of
DECLARE c CURSOR FOR SELECT * FROM users WHERE id > 4 ORDER BY id FOR UPDATE
-- next
FETCH 1 FROM c
-- next
UPDATE users SET name = 'here' WHERE CURRENT OF c RETURNING id, name

-- case: delete each row of a cursor
DECLARE c CURSOR FOR SELECT * FROM items WHERE order_id = 100 FOR UPDATE
-- next
FETCH 1 FROM c
-- next
DELETE FROM items WHERE CURRENT OF c
-- next
FETCH 1 FROM c
-- next
DELETE FROM items WHERE CURRENT OF c
-- next
FETCH 1 FROM c
-- next
SELECT count(*) FROM items

-- case: where current of a cursor that is not there
-- expect: error 34000
DELETE FROM items WHERE CURRENT OF nope

-- case: where current of a cursor that is not positioned
-- expect: error 24000
DECLARE c CURSOR FOR SELECT * FROM items FOR UPDATE
-- next
DELETE FROM items WHERE CURRENT OF c

-- case: where current of a cursor over a join
DECLARE c CURSOR FOR SELECT o.id FROM orders o JOIN users u ON u.id = o.user_id ORDER BY o.id FOR UPDATE OF o
-- next
FETCH 1 c
-- next
DELETE FROM orders WHERE CURRENT OF c RETURNING id

-- case: where current of a simple cursor without FOR UPDATE
DECLARE c CURSOR FOR SELECT id FROM tasks WHERE id < 3
-- next
FETCH 1 c
-- next
DELETE FROM tasks WHERE CURRENT OF c

-- case: delete where current of on a partitioned table
DECLARE c CURSOR FOR SELECT * FROM measures ORDER BY id FOR UPDATE
-- next
FETCH 1 c
-- next
DELETE FROM measures WHERE CURRENT OF c RETURNING id, day

-- case: delete where current of on an unprotected table
DECLARE c CURSOR FOR SELECT * FROM logs ORDER BY id FOR UPDATE
-- next
FETCH 1 c
-- next
DELETE FROM logs WHERE CURRENT OF c

-- case: a cursor does not see deletes after it was opened
DECLARE c INSENSITIVE CURSOR FOR SELECT id FROM tasks ORDER BY id
-- next
DELETE FROM tasks WHERE id = 2
-- next
FETCH ALL c

-- case: declare with a syntax error
-- expect: error 42601
DECLARE c CURSOR FOR DELETE FROM tasks

-- case: fetch from a closed cursor
-- expect: error 34000
DECLARE c CURSOR FOR SELECT * FROM users
-- next
CLOSE ALL
-- next
FETCH ALL c
