-- # Seeing deleted rows, for a role that may; the other side is the full database itself.
-- path: app, public
-- against: full

-- case: all by SET LOCAL
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
SELECT id, name, deleted_at FROM users ORDER BY id

-- case: deleted by SET LOCAL
SET LOCAL pgsoftproxy.visibility = 'deleted'
-- next
SELECT id, name FROM users ORDER BY id
-- direct:
SELECT id, name FROM users WHERE deleted_at IS NOT NULL ORDER BY id

-- case: deleted of a boolean table
SET LOCAL pgsoftproxy.visibility = 'deleted'
-- next
SELECT id FROM tasks ORDER BY id
-- direct:
SELECT id FROM tasks WHERE is_deleted ORDER BY id
-- next
SELECT id FROM memos ORDER BY id
-- direct:
SELECT id FROM memos WHERE gone ORDER BY id

-- case: live again
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
SELECT count(*) FROM users
-- next
SET LOCAL pgsoftproxy.visibility = 'live'
-- next
SELECT count(*) FROM users
-- direct:
SELECT count(*) FROM users WHERE deleted_at IS NULL

-- case: all by a comment for one statement
/* pgsoftproxy: visibility=all */ SELECT id FROM users ORDER BY id
-- next
SELECT id FROM users ORDER BY id
-- direct:
SELECT id FROM users WHERE deleted_at IS NULL ORDER BY id

-- case: deleted by a comment for one statement
/* pgsoftproxy: visibility=deleted */ SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY 1, 2
-- direct:
SELECT u.id, o.id FROM (SELECT * FROM users WHERE deleted_at IS NOT NULL) u
LEFT JOIN (SELECT * FROM orders WHERE deleted_at IS NOT NULL) o ON o.user_id = u.id ORDER BY 1, 2

-- case: all for one table
SET LOCAL pgsoftproxy.visibility = 'all for app.orders'
-- next
SELECT count(*) FROM orders
-- next
SELECT count(*) FROM users
-- direct:
SELECT count(*) FROM users WHERE deleted_at IS NULL

-- case: as of a moment before the deletions
SET LOCAL pgsoftproxy.visibility = 'as_of 2026-01-31T00:00:00Z'
-- next
SELECT id FROM users ORDER BY id

-- case: as of a moment between the deletions
SET LOCAL pgsoftproxy.visibility = 'as_of 2026-02-02T12:00:00Z'
-- next
SELECT id FROM users ORDER BY id
-- direct:
SELECT id FROM users WHERE deleted_at IS NULL OR deleted_at > '2026-02-02T12:00:00Z' ORDER BY id

-- case: a rollback to a savepoint takes the visibility back
SAVEPOINT s
-- next
SET pgsoftproxy.visibility = 'all'
-- next
ROLLBACK TO s
-- next
SELECT count(*) FROM users
-- direct:
SELECT count(*) FROM users WHERE deleted_at IS NULL

-- case: a reset takes the visibility back
SET pgsoftproxy.visibility = 'all'
-- next
RESET pgsoftproxy.visibility
-- next
SELECT count(*) FROM users
-- direct:
SELECT count(*) FROM users WHERE deleted_at IS NULL

-- case: all in joins, CTEs and sub-selects
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
WITH o AS (SELECT * FROM orders) SELECT u.id, o.id, (SELECT count(*) FROM items i WHERE i.order_id = o.id)
FROM users u FULL JOIN o ON o.user_id = u.id ORDER BY 1, 2

-- case: copy out under all
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
COPY tasks TO STDOUT

-- case: a restore by hand under all
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
UPDATE users SET deleted_at = NULL, deleted_by = NULL, email = 'back@example.com' WHERE id = 10 RETURNING id
-- next
SET LOCAL pgsoftproxy.visibility = 'live'
-- next
SELECT id FROM users ORDER BY id
-- direct:
SELECT id FROM users WHERE deleted_at IS NULL ORDER BY id

-- case: an unknown visibility
-- expect: refused 22023
SET pgsoftproxy.visibility = 'everything'

-- case: a visibility that the role may not use
-- role: oracle_clerk
-- expect: refused 42501
SET pgsoftproxy.visibility = 'all'

-- case: a visibility by comment that the role may not use
-- role: oracle_clerk
-- expect: refused 42501
/* pgsoftproxy: visibility=all */ SELECT id FROM users

-- case: a visibility by set_config
-- expect: refused 0A000
SELECT set_config('pgsoftproxy.visibility', 'all', false)

-- case: a hard delete that the role may not do
-- expect: refused 42501
SET pgsoftproxy.delete = 'hard'

-- case: a hard delete by comment that the role may not do
-- expect: refused 42501
/* pgsoftproxy: delete=hard */ DELETE FROM users WHERE id = 5

-- case: a visibility inside a string is only a string
-- role: oracle_clerk
SELECT '/* pgsoftproxy: visibility=all */' AS s, id FROM users ORDER BY id
-- direct:
SELECT '/* pgsoftproxy: visibility=all */' AS s, id FROM users WHERE deleted_at IS NULL ORDER BY id

-- case: a visibility in a comment behind the statement's first word is only a comment
SELECT /* pgsoftproxy: visibility=all */ id FROM users ORDER BY id
-- direct:
SELECT id FROM users WHERE deleted_at IS NULL ORDER BY id

-- case: a prepared read follows the visibility of its use
-- against: full
PREPARE p (int) AS SELECT count(*) FROM users WHERE id > $1
-- direct:
PREPARE p (int) AS SELECT count(*) FROM users WHERE id > $1 AND deleted_at IS NULL
-- next
EXECUTE p (3)
-- next
SET LOCAL pgsoftproxy.visibility = 'all'
-- next
EXECUTE p (3)
-- direct:
SELECT count(*) FROM users WHERE id > 3
-- next
SET LOCAL pgsoftproxy.visibility = 'deleted'
-- next
EXECUTE p (3)
-- direct:
SELECT count(*) FROM users WHERE id > 3 AND deleted_at IS NOT NULL
-- next
SET LOCAL pgsoftproxy.visibility = 'live'
-- next
EXECUTE p (3)

-- case: a read prepared under a visibility does not keep it
-- against: full
SET pgsoftproxy.visibility = 'all'
-- next
PREPARE p AS SELECT count(*) FROM users
-- direct:
PREPARE p AS SELECT count(*) FROM users WHERE deleted_at IS NULL
-- next
RESET pgsoftproxy.visibility
-- next
EXECUTE p

-- case: a visibility by comment holds for its execute alone
-- against: full
PREPARE p AS SELECT count(*) FROM users
-- direct:
PREPARE p AS SELECT count(*) FROM users WHERE deleted_at IS NULL
-- next
/* pgsoftproxy: visibility=all */ EXECUTE p
-- direct:
SELECT count(*) FROM users
-- next
EXECUTE p

-- case: a visibility by comment ahead of a prepare belongs to what is prepared
-- against: full
/* pgsoftproxy: visibility=all */ PREPARE p AS SELECT count(*) FROM users
-- next
EXECUTE p
-- next
SET LOCAL pgsoftproxy.visibility = 'deleted'
-- next
EXECUTE p
