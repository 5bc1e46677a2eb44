-- # WITH: scopes, shadowing, recursion.
-- path: app, public

-- case: a CTE over a protected table
WITH a AS (SELECT * FROM users) SELECT id FROM a ORDER BY 1

-- case: a CTE with column aliases
WITH a (x, y) AS (SELECT id, name FROM users) SELECT x, y FROM a ORDER BY x

-- case: a CTE that shadows a protected table
WITH users AS (SELECT 1 AS id, 'fake' AS name) SELECT * FROM users

-- case: a shadowing CTE that reads the table it shadows
WITH users AS (SELECT * FROM users WHERE age > 30) SELECT id FROM users ORDER BY 1

-- case: a qualified name is never the CTE
WITH users AS (SELECT 99 AS id) SELECT a.id, b.id FROM users a, app.users b ORDER BY 2

-- case: a later CTE sees the earlier one, not the table
WITH users AS (SELECT 7 AS id), b AS (SELECT id FROM users) SELECT * FROM b

-- case: an earlier CTE sees the table, not the later one
WITH b AS (SELECT id FROM users), users AS (SELECT 7 AS id) SELECT * FROM b ORDER BY 1

-- case: with RECURSIVE an earlier CTE sees the later one
WITH RECURSIVE b AS (SELECT id FROM users), users AS (SELECT 7 AS id) SELECT * FROM b ORDER BY 1

-- case: with RECURSIVE the name inside is the CTE itself
WITH RECURSIVE users AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM users WHERE id < 3) SELECT * FROM users ORDER BY 1

-- case: a recursive walk over a protected tree
WITH RECURSIVE walk AS (
    SELECT node, parent, label, 0 AS depth FROM node WHERE parent IS NULL
    UNION ALL
    SELECT n.node, n.parent, n.label, w.depth + 1 FROM node n JOIN walk w ON n.parent = w.node
) SELECT * FROM walk ORDER BY node

-- case: a recursive walk that starts below a deleted row
WITH RECURSIVE up AS (
    SELECT node, parent FROM node WHERE node.node = 6
    UNION SELECT n.node, n.parent FROM node n, up WHERE n.node = up.parent
) SELECT * FROM up

-- case: a recursive walk with SEARCH and CYCLE
WITH RECURSIVE walk AS (
    SELECT node, parent FROM node WHERE parent IS NULL
    UNION ALL SELECT n.node, n.parent FROM node n JOIN walk w ON n.parent = w.node
) SEARCH DEPTH FIRST BY node SET ord CYCLE node SET looped USING path
SELECT node, looped FROM walk ORDER BY ord

-- case: a CTE inside a sub-select does not reach outside
SELECT (WITH users AS (SELECT 5 AS id) SELECT id FROM users), id FROM users ORDER BY 2

-- case: a CTE outside reaches into sub-selects
WITH users AS (SELECT 5 AS id) SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM app.users)

-- case: an inner WITH hides the outer one
WITH users AS (SELECT 1 AS id) SELECT * FROM (WITH users AS (SELECT 2 AS id) SELECT * FROM users) s, users

-- case: a WITH in the first arm of a union does not reach the second
(WITH users AS (SELECT 42::bigint AS id) SELECT id FROM users) UNION ALL SELECT id FROM users

-- case: a WITH in the second arm of a union does not reach the first
SELECT id FROM users UNION ALL (WITH users AS (SELECT 42::bigint AS id) SELECT id FROM users)

-- case: a WITH before a union reaches both arms
WITH users AS (SELECT 42::bigint AS id) SELECT id FROM users UNION ALL SELECT id + 1 FROM users

-- case: a CTE inside a CTE
WITH a AS (WITH users AS (SELECT 8 AS id) SELECT * FROM users) SELECT a.id, u.id FROM a, users u ORDER BY 2

-- case: a CTE named like a table in another file's schema
WITH orders AS (SELECT * FROM other.orders) SELECT count(*) FROM orders, app.orders o

-- case: a CTE used twice
WITH c AS (SELECT city, count(*) AS n FROM users GROUP BY city) SELECT a.city, b.n FROM c a JOIN c b ON a.n = b.n ORDER BY 1, 2

-- case: a materialized and a not materialized CTE
WITH a AS MATERIALIZED (SELECT * FROM users), b AS NOT MATERIALIZED (SELECT * FROM orders)
SELECT a.id, b.id FROM a JOIN b ON b.user_id = a.id ORDER BY 2

-- case: a CTE in mixed case folds
WITH USERS AS (SELECT 3 AS id) SELECT * FROM Users

-- case: a quoted CTE name that folds otherwise is another name
WITH "USERS" AS (SELECT 3 AS id) SELECT count(*) FROM users

-- case: a quoted CTE name that is the same name
WITH "users" AS (SELECT 3 AS id) SELECT count(*) FROM users

-- case: a CTE name with unicode escapes
WITH U&"\0075sers" AS (SELECT 3 AS id) SELECT count(*) FROM users

-- case: a CTE over VALUES
WITH users (id) AS (VALUES (1), (2)) SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id ORDER BY 2

-- case: a CTE with an unused sibling
WITH unused AS (SELECT * FROM users), b AS (SELECT count(*) AS n FROM orders) SELECT n FROM b

-- case: a CTE that is referenced inside LATERAL
WITH o AS (SELECT * FROM orders) SELECT u.id, x.n FROM users u, LATERAL (SELECT count(*) AS n FROM o WHERE o.user_id = u.id) x ORDER BY 1

-- case: the main query of the recursion's name outside is the CTE
WITH RECURSIVE orders (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM orders WHERE n < 4)
SELECT n, (SELECT count(*) FROM app.orders WHERE id = n + 99) FROM orders ORDER BY n

-- case: a CTE with ORDER BY and LIMIT inside
WITH top AS (SELECT id, total FROM orders ORDER BY total DESC LIMIT 2) SELECT * FROM top ORDER BY id

-- case: a forward reference fails without RECURSIVE
-- expect: error 42P01
WITH a AS (SELECT * FROM later_cte), later_cte AS (SELECT * FROM users) SELECT * FROM a

-- case: WITH inside the recursive arm
WITH RECURSIVE w AS (
    SELECT 1 AS id UNION ALL
    (WITH users AS (SELECT id FROM w) SELECT id + 1 FROM users WHERE id < 3)
) SELECT w.id, u.name FROM w JOIN users u ON u.id = w.id ORDER BY 1

-- case: a whole row of a CTE over a protected table
WITH c AS (SELECT id, name FROM users) SELECT c, row_to_json(c) FROM c ORDER BY c.id

-- case: a CTE as the source of a whole row named like the table
WITH users AS (SELECT id, name FROM users) SELECT users FROM users ORDER BY users.id
