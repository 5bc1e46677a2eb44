-- # Several statements in one Query message.
-- path: app, public
-- protocol: simple

-- case: two reads
SELECT count(*) FROM users; SELECT count(*) FROM orders

-- case: a read, a delete, a read
SELECT count(*) FROM orders; DELETE FROM orders WHERE id = 100; SELECT count(*) FROM orders

-- case: empty statements in between
;; SELECT 1;;; SELECT id FROM tasks; ;

-- case: only semicolons
;;;

-- case: an empty text

-- next
SELECT 1

-- case: only a comment
/* nothing */ -- at all

-- case: comments between statements
SELECT id FROM tasks; -- one; DELETE FROM tasks
/* two; */ SELECT id FROM memos; -- end

-- case: an error in the middle
-- expect: error 22012
SELECT count(*) FROM users; SELECT 1 / 0; SELECT count(*) FROM orders

-- case: an error of an unknown column in the middle keeps its position
-- expect: error 42703
SELECT count(*) FROM users; SELECT id, nope FROM users; SELECT 2

-- case: a syntax error runs nothing
-- expect: error 42601
DELETE FROM orders; SELEC 1

-- case: deletes of several tables
DELETE FROM items WHERE order_id = 100; DELETE FROM orders WHERE id = 100; DELETE FROM logs WHERE user_id = 1

-- case: dollar quotes with semicolons
SELECT $$;DELETE FROM users;$$, $x$ ; $y$ ; $x$; SELECT count(*) FROM users

-- case: a transaction in a batch
SAVEPOINT a; DELETE FROM tasks; ROLLBACK TO a; SELECT count(*) FROM tasks; RELEASE a

-- case: a transaction of its own that commits
-- transaction: none
BEGIN; DELETE FROM items WHERE id = 1000; COMMIT; SELECT count(*) FROM items

-- case: a transaction of its own that rolls back
-- transaction: none
BEGIN; DELETE FROM items; SELECT count(*) FROM items; ROLLBACK; SELECT count(*) FROM items

-- case: an implicit transaction that fails undoes its deletes
-- transaction: none
-- expect: error 22012
DELETE FROM items; SELECT 1 / 0

-- case: a refusal in the middle of a batch
-- expect: refused 0A000
SELECT count(*) FROM users; TRUNCATE users; SELECT count(*) FROM orders

-- case: a refusal at the start of a batch
-- expect: refused 0A000
TRUNCATE users; DELETE FROM orders

-- case: a refusal at the end of a batch undoes what came before
-- transaction: none
-- expect: refused 0A000
DELETE FROM items; TRUNCATE users

-- case: prepare and execute in a batch
PREPARE p AS DELETE FROM tasks WHERE id = $1; EXECUTE p (1); EXECUTE p (1); DEALLOCATE p; SELECT id FROM tasks ORDER BY id

-- case: a cursor in a batch
DECLARE c CURSOR FOR SELECT id FROM users ORDER BY id; FETCH 2 c; MOVE 2 c; FETCH 2 c; CLOSE c

-- case: rows of all kinds of statements
INSERT INTO logs (id) VALUES (800); UPDATE users SET age = 1 WHERE id IN (4, 5); DELETE FROM memos; TABLE memos; VALUES (1)

-- case: a create and a read of what was created
CREATE TABLE other.made (id int); INSERT INTO other.made SELECT id FROM users; SELECT count(*) FROM other.made

-- case: copy out in a batch
COPY tasks TO STDOUT; SELECT 1; COPY (SELECT id FROM memos) TO STDOUT

-- case: set, show and read in a batch
SET LOCAL statement_timeout = '5s'; SHOW statement_timeout; SELECT count(*) FROM users
