-- # DELETE in all its forms. After each case the live rows of all tables must agree with the twin's, and no row may be gone.
-- path: app, public

-- case: delete by key
DELETE FROM users WHERE id = 5

-- case: delete a row that is already deleted
DELETE FROM users WHERE id = 4

-- case: delete all
DELETE FROM orders

-- case: delete all with a trailing semicolon
DELETE FROM orders;

-- case: delete with OR
DELETE FROM orders WHERE status = 'new' OR total > 30

-- case: delete with NOT
DELETE FROM items WHERE NOT (qty > 2 AND price > 1)

-- case: delete with a qualified name
DELETE FROM app.orders WHERE app.orders.id = 100

-- case: delete with an alias
DELETE FROM orders AS o WHERE o.id = 101

-- case: delete with an alias without AS
DELETE FROM orders o WHERE o.total < 6

-- case: delete with an alias that is a keyword
DELETE FROM orders AS "where" WHERE "where".id = 101

-- case: delete from ONLY
DELETE FROM ONLY animals

-- case: delete from ONLY with parentheses and an alias
DELETE FROM ONLY (animals) AS a WHERE a.id > 0

-- case: delete from a parent reaches its children
DELETE FROM animals WHERE id > 2

-- case: delete from a parent with the star
DELETE FROM animals * WHERE name = 'rex'

-- case: delete from a child
DELETE FROM dogs WHERE breed = 'pug'

-- case: delete from a partitioned table
DELETE FROM measures WHERE value > 20

-- case: delete from a partition
DELETE FROM measures_2025

-- case: delete with USING
DELETE FROM orders USING users WHERE users.id = orders.user_id AND users.city = 'London'

-- case: delete with USING where the joined row is deleted
DELETE FROM orders o USING users u WHERE u.id = o.user_id AND u.id = 4

-- case: delete with USING of several tables
DELETE FROM items i USING orders o, users u WHERE o.id = i.order_id AND u.id = o.user_id AND u.name = 'Ada'

-- case: delete with USING of a join tree
DELETE FROM items i USING orders o LEFT JOIN users u ON u.id = o.user_id WHERE o.id = i.order_id AND u.id IS NULL

-- case: delete with USING of a parenthesised tree and an alias
DELETE FROM items USING (orders o JOIN users u ON u.id = o.user_id) AS j WHERE items.order_id = j.total::int - 10 + 100

-- case: delete with USING of a sub-select
DELETE FROM items i USING (SELECT id FROM orders WHERE status = 'paid') o WHERE o.id = i.order_id

-- case: delete with USING of the same table
DELETE FROM users a USING users b WHERE a.manager_id = b.id AND b.id = 2 AND a.id > 3

-- case: delete with USING LATERAL
DELETE FROM items i USING orders o, LATERAL (SELECT u.id FROM users u WHERE u.id = o.user_id) x WHERE o.id = i.order_id

-- case: delete with USING an unprotected table
DELETE FROM items USING logs WHERE logs.id = items.qty

-- case: delete with USING without WHERE
DELETE FROM tasks USING memos

-- case: delete from an unprotected table by a protected one
DELETE FROM logs USING users WHERE users.id = logs.user_id

-- case: delete from an unprotected table by a sub-select
DELETE FROM logs WHERE user_id IN (SELECT id FROM users)

-- case: delete from an unprotected table by NOT IN
DELETE FROM logs WHERE user_id NOT IN (SELECT id FROM users)

-- case: delete from an unprotected table
DELETE FROM logs WHERE id = 2

-- case: delete from an unprotected namesake
DELETE FROM public.users

-- case: delete from an unprotected namesake by search path
-- path: public
DELETE FROM users WHERE id = 1

-- case: delete with EXISTS
DELETE FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.qty > 3)

-- case: delete with NOT EXISTS
DELETE FROM orders o WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id)

-- case: delete with a sub-select of itself
DELETE FROM items WHERE price = (SELECT max(price) FROM items)

-- case: delete the lowest with a limited sub-select
DELETE FROM items WHERE id IN (SELECT id FROM items ORDER BY id DESC LIMIT 2)

-- case: delete with a NOT NULL boolean column
DELETE FROM tasks WHERE id < 3

-- case: delete all with a NOT NULL boolean column
DELETE FROM tasks

-- case: delete with a boolean column that may be NULL
DELETE FROM memos WHERE id > 1

-- case: delete with a timestamp column
DELETE FROM events WHERE kind = 'start'

-- case: delete with quoted names
DELETE FROM "Weird Name" WHERE "Id" = 1 OR "select" = 6661

-- case: delete with quoted names and an alias
DELETE FROM "Weird Name" AS "W N" WHERE "W N"."Quoted ""Col" = 'two'

-- case: delete from a name outside ASCII
DELETE FROM "Überblick" WHERE "größe" = 'groß'

-- case: delete from a table with dropped columns
DELETE FROM relics WHERE label = 'urn'

-- case: delete from a table with generated columns
DELETE FROM invoices WHERE tax > 30

-- case: delete from a table with a full unique index
DELETE FROM accounts WHERE handle = 'alpha'

-- case: delete from a child of a cascading key
DELETE FROM articles

-- case: delete from an inheritance child of an unprotected parent
DELETE FROM gadgets

-- case: delete in another schema with mixed case
DELETE FROM "Mixed Schema".users

-- case: delete with a WHERE that ends in a comment
DELETE FROM orders WHERE id = 100 -- only this one

-- case: delete without WHERE and a trailing comment
DELETE FROM orders -- everything

-- case: delete with a comment in every gap
/* a */ DELETE /* b */ FROM /* c */ orders /* d */ AS /* e */ o /* f */ WHERE /* g */ o.id /* h */ = 100 /* i */

-- case: delete over several lines
DELETE
FROM
    orders
WHERE
    id = 100
    OR
    id = 105

-- case: delete with an expression on the deletion column
DELETE FROM orders WHERE deleted_at IS NOT NULL

-- case: delete with an old deletion date
DELETE FROM orders WHERE deleted_at < now() - interval '1 day'

-- case: delete with a condition that is false
DELETE FROM orders WHERE false

-- case: delete with a parameter
-- bind: ["100"]
DELETE FROM orders WHERE id = $1

-- case: delete with several parameters
-- bind: ["new", "30"]
DELETE FROM orders WHERE status = $1 OR total > $2

-- case: delete with an array parameter
-- bind: ["{100,101,105}"]
DELETE FROM orders WHERE id = ANY($1)

-- case: delete with a parameter of unknown type
-- bind: ["100"]
DELETE FROM orders USING users WHERE users.id = orders.user_id AND orders.id = $1::bigint

-- case: delete of a parent whose children were all deleted before
-- setup: DELETE FROM orders WHERE user_id IN (2, 3)
DELETE FROM users WHERE id = 3

-- case: delete and delete again
DELETE FROM orders WHERE id IN (100, 101)
-- next
DELETE FROM orders WHERE id IN (100, 101)
-- next
SELECT count(*) FROM orders

-- case: delete, insert the same key of a partial unique index, read
DELETE FROM users WHERE id = 5
-- next
INSERT INTO users (id, email, name) VALUES (50, 'eve@example.com', 'Eve II')
-- next
SELECT id, email, name FROM users WHERE email = 'eve@example.com'

-- case: delete, roll back to a savepoint, read
SAVEPOINT a
-- next
DELETE FROM orders
-- next
SELECT count(*) FROM orders
-- next
ROLLBACK TO a
-- next
SELECT count(*) FROM orders

-- case: delete an unknown column
-- expect: error 42703
DELETE FROM orders WHERE nope = 1

-- case: delete from an unknown table
-- expect: error 42P01
DELETE FROM nothing WHERE id = 1

-- case: delete with an ambiguous column
-- expect: error 42702
DELETE FROM orders USING users WHERE id = 1

-- case: delete with a wrong alias
-- expect: error 42P01
DELETE FROM orders o WHERE orders.id = 1

-- case: delete that divides by zero
-- expect: error 22012
DELETE FROM orders WHERE 1 / (id - 100) > 0

-- case: delete that would divide by zero on a deleted row only
DELETE FROM orders WHERE 1 / (total - 6666) < 0

-- case: delete with an aggregate in WHERE
-- expect: error 42803
DELETE FROM orders WHERE count(*) > 1

-- case: delete where a whole row is not null
DELETE FROM items WHERE items IS NOT NULL

-- case: delete with a row comparison
DELETE FROM orders WHERE (id, status) IN ((100, 'paid'), (101, 'paid'), (105, 'new'))

-- case: delete with ctid
DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders WHERE id = 100)

-- case: delete duplicates by ctid
DELETE FROM items a USING items b WHERE a.sku = b.sku AND a.ctid > b.ctid

-- case: delete with a function in USING
DELETE FROM tasks USING generate_series(1, 2) AS g (n) WHERE tasks.id = g.n

-- case: delete with WITH ORDINALITY in USING
DELETE FROM tasks USING unnest(ARRAY[3, 1]) WITH ORDINALITY AS g (n, ord) WHERE tasks.id = g.n AND g.ord = 1

-- case: delete as a role without the privilege
-- role: oracle_clerk
-- expect: error 42501
DELETE FROM events

-- case: delete as a role with the privilege
-- role: oracle_clerk
DELETE FROM users WHERE id = 6

-- case: delete where the target's name is also an alias in a sub-select
DELETE FROM orders WHERE user_id IN (SELECT orders.id FROM users AS orders WHERE orders.city = 'Paris')

-- case: delete with a condition on tableoid
DELETE FROM measures WHERE tableoid = 'app.measures_2025'::regclass

-- case: delete with USING VALUES
DELETE FROM orders USING (VALUES (100), (105)) AS v (id) WHERE orders.id = v.id

-- case: delete with USING where two rows match one target
DELETE FROM users USING logs WHERE logs.user_id = users.id AND users.id = 5

-- case: delete in a transaction of its own
-- transaction: none
DELETE FROM items WHERE id = 1000

-- case: delete twice in transactions of their own
-- transaction: none
DELETE FROM users WHERE id IN (6, 7)
-- next
DELETE FROM users WHERE id IN (6, 7, 8)

-- case: delete on an unprotected parent whose key sets protected rows to NULL and to a default
DELETE FROM authors WHERE id = 1 -- to articles it is an UPDATE
