-- # MERGE.
-- path: app, public

-- case: merge that deletes
MERGE INTO users u USING public.users p ON u.id = p.id + 4 WHEN MATCHED THEN DELETE

-- case: merge that deletes with a condition
MERGE INTO orders o USING users u ON u.id = o.user_id WHEN MATCHED AND u.city = 'London' THEN DELETE WHEN MATCHED THEN DO NOTHING

-- case: merge that updates
MERGE INTO tasks t USING memos m ON m.id = t.id WHEN MATCHED THEN UPDATE SET title = m.body

-- case: merge that inserts what is missing
MERGE INTO tasks t USING (SELECT id + 2 AS id, body FROM memos WHERE id < 3) m ON m.id = t.id WHEN NOT MATCHED AND m.id > 90 THEN INSERT (id, title) VALUES (m.id, m.body)

-- case: merge that updates and inserts
MERGE INTO accounts a USING (VALUES ('alpha', 5), ('omega', 6)) AS v (handle, n) ON a.handle = v.handle
WHEN MATCHED THEN UPDATE SET balance = a.balance + v.n WHEN NOT MATCHED THEN INSERT (id, handle, balance) VALUES (100 + v.n, v.handle, v.n)

-- case: merge with all kinds of actions
MERGE INTO items i USING orders o ON o.id = i.order_id
WHEN MATCHED AND i.qty > 3 THEN DELETE
WHEN MATCHED AND i.qty = 3 THEN UPDATE SET qty = 33
WHEN MATCHED THEN DO NOTHING
WHEN NOT MATCHED THEN INSERT (id, order_id, sku) VALUES (o.id + 2000, o.id, 'made')

-- case: merge into an unprotected table from a protected one
MERGE INTO logs l USING users u ON u.id = l.user_id WHEN MATCHED THEN UPDATE SET message = u.name
WHEN NOT MATCHED THEN INSERT (id, message) VALUES (u.id + 100, u.name)

-- case: merge into an unprotected table from a sub-select
MERGE INTO logs l USING (SELECT id, count(*) OVER () AS n FROM users) u ON u.id = l.id WHEN MATCHED THEN UPDATE SET message = u.n

-- case: merge with a CTE
WITH s AS (SELECT * FROM users WHERE id > 4) MERGE INTO logs l USING s ON s.id = l.user_id WHEN MATCHED THEN DELETE

-- case: merge with a sub-select in its condition and actions
MERGE INTO tasks t USING logs l ON l.id = t.id AND EXISTS (SELECT FROM users u WHERE u.id = l.user_id)
WHEN MATCHED THEN UPDATE SET title = (SELECT max(name) FROM users)

-- case: merge with OR in its condition
MERGE INTO tasks t USING public.users p ON t.id = p.id OR t.id = p.id + 3 WHEN MATCHED THEN DELETE

-- case: merge into ONLY and with an alias
MERGE INTO ONLY animals AS a USING tasks t ON t.id = a.id WHEN MATCHED THEN DELETE

-- case: merge into a partitioned table
MERGE INTO measures m USING tasks t ON t.id = m.id WHEN MATCHED AND m.value > 20 THEN DELETE WHEN MATCHED THEN UPDATE SET value = 0

-- case: merge that matches a row twice
-- expect: error 21000
MERGE INTO users u USING (VALUES (5), (5)) AS v (id) ON v.id = u.id WHEN MATCHED THEN DELETE

-- case: merge with a quoted target
MERGE INTO "Weird Name" w USING tasks t ON t.id = w."Id" WHEN MATCHED AND w."select" > 10 THEN DELETE

-- case: merge with an unknown column
-- expect: error 42703
MERGE INTO users u USING logs l ON l.user_id = u.nope WHEN MATCHED THEN DELETE

-- case: merge with not matched by source
-- min-version: 17
MERGE INTO tasks t USING (VALUES (1)) AS v (id) ON v.id = t.id WHEN NOT MATCHED BY SOURCE THEN DELETE

-- case: merge with not matched by source that updates
-- min-version: 17
MERGE INTO tasks t USING (VALUES (1)) AS v (id) ON v.id = t.id WHEN NOT MATCHED BY SOURCE AND t.id > 2 THEN UPDATE SET title = 'left' WHEN MATCHED THEN DELETE

-- case: merge with not matched by target
-- min-version: 17
MERGE INTO tasks t USING memos m ON m.id = t.id WHEN NOT MATCHED BY TARGET AND m.id > 90 THEN INSERT (id, title) VALUES (m.id, m.body)

-- case: merge returning
-- min-version: 17
MERGE INTO tasks t USING (VALUES (1), (2)) AS v (id) ON v.id = t.id WHEN MATCHED AND v.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET title = 'x'
RETURNING merge_action(), t.id, v.id, t.title

-- case: merge returning everything
-- min-version: 17
MERGE INTO tasks t USING (VALUES (1), (2)) AS v (id) ON v.id = t.id WHEN MATCHED AND v.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET title = 'x'
RETURNING t.*

-- case: merge in a CTE
-- min-version: 17
WITH m AS (MERGE INTO tasks t USING memos m ON m.id = t.id WHEN MATCHED THEN DELETE RETURNING t.id) SELECT * FROM m ORDER BY id

-- case: merge prepared
PREPARE p AS MERGE INTO orders o USING users u ON u.id = o.user_id WHEN MATCHED AND u.id = $1 THEN DELETE
-- next
EXECUTE p (1)
-- next
SELECT count(*) FROM orders

-- case: merge through a view is refused by the server before 17
-- max-version: 16
-- expect: error 0A000
MERGE INTO log_messages v USING tasks t ON t.id = v.id WHEN MATCHED THEN DELETE

-- case: merge that deletes nothing of an unprotected parent that cascades
MERGE INTO categories c USING logs l ON l.id = c.id WHEN MATCHED THEN UPDATE SET title = l.message WHEN NOT MATCHED THEN INSERT VALUES (l.id, 'made')

-- case: merge returning old and new
-- min-version: 18
-- origins: ignored
MERGE INTO tasks t USING (VALUES (1), (2), (4), (90)) AS v (id) ON v.id = t.id WHEN MATCHED AND v.id = 1 THEN DELETE
WHEN MATCHED THEN UPDATE SET title = 'x' WHEN NOT MATCHED AND v.id > 9 THEN INSERT (id, title) VALUES (v.id, 'made')
RETURNING merge_action(), old.id, new.id, old.title || '!', new.title, old IS NULL, new IS NULL, old.is_deleted, new.is_deleted, t.is_deleted, v.id

-- case: merge returning whole old and new rows
-- min-version: 18
-- origins: ignored
MERGE INTO tasks t USING (VALUES (1), (2)) AS v (id) ON v.id = t.id WHEN MATCHED AND v.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET title = 'x'
RETURNING old, new, old.*, new.*, to_jsonb(old), to_jsonb(new), ROW(new.*), t

-- case: merge returning renamed old and new
-- min-version: 18
-- origins: ignored
MERGE INTO users AS new USING (VALUES (7), (8)) AS old (id) ON new.id = old.id WHEN MATCHED AND old.id = 7 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'x'
RETURNING WITH (OLD AS was, NEW AS "Is") was.name, "Is".name, old.id, new.id, was.deleted_by, "Is".deleted_by, (SELECT max(o.id) FROM orders o WHERE o.user_id = "Is".id)

-- case: merge returning old and new with not matched by source
-- min-version: 18
-- origins: ignored
MERGE INTO items i USING orders o ON o.id = i.order_id WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN MATCHED AND i.qty > 2 THEN UPDATE SET qty = 0
RETURNING merge_action(), old.qty, new.qty, old.deleted_at, new.deleted_at, i.deleted_at, o.id
