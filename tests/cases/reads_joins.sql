-- # Plain reads and join trees of every kind.
-- path: app, public

-- case: a bare select of everything
SELECT * FROM users

-- case: a select with a schema-qualified name
SELECT id, email FROM app.users

-- case: a select without alias names its columns by the table
SELECT users.id, users.name FROM users WHERE users.city = 'London'

-- case: a select that names columns by schema and table
SELECT app.users.id, app.users.* FROM app.users WHERE app.users.id < 6

-- case: a select with AS alias
SELECT u.id FROM users AS u WHERE u.age > 30

-- case: OR in WHERE binds weaker than the guard
SELECT id FROM users WHERE city = 'London' OR age > 60

-- case: OR NOT in WHERE
SELECT id FROM users WHERE NOT city = 'London' OR NOT age < 100 OR city IS NULL

-- case: a WHERE that is always true
SELECT id FROM users WHERE true OR false

-- case: a WHERE that names the deletion column
SELECT id FROM users WHERE deleted_at IS NOT NULL

-- case: a WHERE that wants live or deleted
SELECT id, deleted_at FROM users WHERE deleted_at IS NULL OR deleted_at IS NOT NULL

-- case: a comma join
SELECT u.id, o.id FROM users u, orders o WHERE u.id = o.user_id

-- case: a comma join of three with one unprotected
SELECT u.name, o.id, l.message FROM users u, orders o, logs l WHERE u.id = o.user_id AND l.user_id = u.id

-- case: a cross join counts only live rows
SELECT count(*) FROM users CROSS JOIN orders

-- case: an inner join
SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id ORDER BY o.id

-- case: a left join keeps users whose orders are all deleted
SELECT u.id, o.id, o.total FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY u.id, o.id

-- case: a left join keeps orders whose user is deleted
SELECT o.id, u.name FROM orders o LEFT JOIN users u ON u.id = o.user_id ORDER BY o.id

-- case: a right join
SELECT o.id, u.id FROM orders o RIGHT JOIN users u ON u.id = o.user_id AND o.total > 10

-- case: a full join
SELECT o.id, u.id FROM orders o FULL JOIN users u ON u.id = o.user_id

-- case: a full join on live columns with a filter above
SELECT o.id, u.id FROM orders o FULL OUTER JOIN users u ON u.id = o.user_id WHERE u.id IS NULL OR o.id IS NULL

-- case: a join with USING merges the column
SELECT id, a.name, b.note FROM users a JOIN other.orders b USING (id)

-- case: a left join with USING
SELECT id, a.email, b.email FROM users a LEFT JOIN public.users b USING (id) ORDER BY id

-- case: a full join with USING
SELECT id, a.email, b.title FROM users a FULL JOIN tasks b USING (id) ORDER BY id

-- case: a join with USING and an alias for the merged columns
SELECT j.id, a.email FROM users a JOIN tasks b USING (id) AS j ORDER BY j.id

-- case: a natural join
SELECT * FROM tasks NATURAL JOIN memos

-- case: a natural left join over the deletion column too
SELECT * FROM animals NATURAL LEFT JOIN node

-- case: a natural full join
SELECT count(*), sum(id) FROM memos NATURAL FULL JOIN events

-- case: star over a join lists the columns of both
SELECT * FROM orders JOIN items ON items.order_id = orders.id ORDER BY items.id

-- case: a nested join tree with parentheses
SELECT u.id, o.id, i.id
FROM users u LEFT JOIN (orders o JOIN items i ON i.order_id = o.id) ON o.user_id = u.id ORDER BY 1, 2, 3

-- case: a parenthesised join tree with an alias
SELECT j.total, j.sku FROM (orders o JOIN items i ON i.order_id = o.id) AS j ORDER BY j.sku, j.total

-- case: a join alias hides the names inside
-- expect: error 42P01
SELECT o.total FROM (orders o JOIN items i ON i.order_id = o.id) AS j

-- case: an aliased join tree with column aliases
SELECT j.a, j.b, j.c FROM (tasks t CROSS JOIN memos m) AS j (a, b, c) ORDER BY j.a, j.c::text

-- case: parentheses upon parentheses around joins
SELECT count(*) FROM (((users u JOIN (orders o LEFT JOIN items i ON i.order_id = o.id) ON o.user_id = u.id)))

-- case: left join chains
SELECT u.id, o.id, i.id, l.id
FROM users u
    LEFT JOIN orders o ON o.user_id = u.id
    LEFT JOIN items i ON i.order_id = o.id
    LEFT JOIN logs l ON l.user_id = u.id
ORDER BY 1, 2, 3, 4

-- case: right and left join chains
SELECT i.id, o.id, u.id
FROM items i RIGHT JOIN orders o ON i.order_id = o.id RIGHT JOIN users u ON u.id = o.user_id
ORDER BY 1, 2, 3

-- case: full join of full joins
SELECT i.id, o.id, u.id
FROM items i FULL JOIN orders o ON i.order_id = o.id FULL JOIN users u ON u.id = o.user_id
ORDER BY 1, 2, 3

-- case: a join condition written at the far end
SELECT u.id, o.id, i.id FROM users u LEFT JOIN orders o LEFT JOIN items i ON i.order_id = o.id ON o.user_id = u.id

-- case: a join condition that is an OR
SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id OR o.total > 20

-- case: a self join
SELECT e.name, m.name FROM users e JOIN users m ON m.id = e.manager_id ORDER BY e.id

-- case: a self left join where the manager is deleted
SELECT e.id, m.id, m.name FROM users e LEFT JOIN users m ON m.id = e.manager_id ORDER BY e.id

-- case: the same table three times
SELECT a.id, b.id, c.id FROM users a, users b, users c WHERE a.manager_id = b.id AND b.manager_id = c.id

-- case: a comma list mixed with joins
SELECT u.id, o.id, t.id
FROM tasks t, users u LEFT JOIN orders o ON o.user_id = u.id, memos m WHERE m.id = t.id

-- case: an anti join
SELECT u.id FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE o.id IS NULL ORDER BY u.id

-- case: an outer join on the deletion column
SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.deleted_at IS NOT NULL

-- case: an aggregate over an outer join
SELECT u.id, count(o.id), coalesce(sum(o.total), 0) FROM users u LEFT JOIN orders o ON o.user_id = u.id
GROUP BY u.id ORDER BY u.id

-- case: grouping by the primary key lets other columns through
SELECT u.id, u.name, u.email, count(*) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id ORDER BY u.id

-- case: grouping by the primary key in a left join tree
SELECT u.name, u.city, count(o.id) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id ORDER BY u.id

-- case: HAVING
SELECT city, count(*) FROM users GROUP BY city HAVING count(*) > 1 ORDER BY city

-- case: grouping sets, rollup and cube
SELECT city, age > 30 AS old, count(*) FROM users GROUP BY GROUPING SETS ((city), (age > 30), ()) ORDER BY 1, 2, 3

-- case: rollup with grouping()
SELECT city, grouping(city), sum(age) FROM users GROUP BY ROLLUP (city) ORDER BY 1, 2

-- case: cube
SELECT status, user_id, count(*) FROM orders GROUP BY CUBE (status, user_id) ORDER BY 1, 2

-- case: distinct
SELECT DISTINCT city FROM users ORDER BY city

-- case: distinct on
SELECT DISTINCT ON (city) city, name FROM users ORDER BY city, age DESC

-- case: limit and offset
SELECT id FROM users ORDER BY id DESC LIMIT 3 OFFSET 2

-- case: fetch first with ties
SELECT user_id FROM orders ORDER BY user_id FETCH FIRST 1 ROW WITH TIES

-- case: the table form
TABLE users

-- case: the table form with ONLY and a schema
TABLE ONLY app.animals

-- case: the table form with order and limit
TABLE users ORDER BY id LIMIT 2

-- case: ONLY the parent
SELECT * FROM ONLY animals

-- case: ONLY with parentheses
SELECT a.* FROM ONLY (animals) AS a

-- case: the star that asks for children
SELECT * FROM animals * ORDER BY id

-- case: a parent with its children
SELECT id, name, tableoid::regclass FROM animals ORDER BY id

-- case: a child of an inheritance tree
SELECT * FROM dogs ORDER BY id

-- case: a grandchild
SELECT * FROM puppies

-- case: a partitioned table
SELECT * FROM measures ORDER BY id

-- case: a partition by its own name
SELECT m.* FROM measures_2026 m ORDER BY m.id

-- case: the default partition
SELECT sum(value) FROM measures_rest

-- case: a join of partitions with their parent
SELECT p.id, c.id FROM measures p FULL JOIN measures_2025 c USING (id, day) ORDER BY 1, 2

-- case: a NOT NULL boolean deletion column
SELECT * FROM tasks ORDER BY id

-- case: a boolean deletion column that may be NULL
SELECT * FROM memos ORDER BY id

-- case: a timestamp deletion column
SELECT * FROM events ORDER BY id

-- case: outer joins with boolean deletion columns
SELECT m.id, m.gone, t.id, t.is_deleted FROM memos m FULL JOIN tasks t ON m.id = t.id ORDER BY 1, 3

-- case: a deletion column in the middle of the table
SELECT * FROM orders ORDER BY id

-- case: a table with dropped columns
SELECT * FROM relics ORDER BY id

-- case: a table with generated columns
SELECT * FROM invoices ORDER BY id

-- case: arrays and jsonb
SELECT sku, tags[1], attrs -> 'w', sizes FROM products ORDER BY sku

-- case: an array containment filter
SELECT sku FROM products WHERE tags @> '{blue}' OR attrs @> '{"w": 666}'

-- case: aggregates with filter and order
SELECT count(*) FILTER (WHERE city = 'London'), string_agg(name, ',' ORDER BY id), array_agg(id ORDER BY id DESC)
FROM users

-- case: an ordered-set aggregate
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY age), mode() WITHIN GROUP (ORDER BY city) FROM users

-- case: min and max by index
SELECT min(id), max(id), max(email) FROM users

-- case: count of an empty result
SELECT count(*), sum(total) FROM orders WHERE note LIKE 'CAN%'

-- case: an unprotected table alone
SELECT * FROM logs ORDER BY id

-- case: no table at all
SELECT 1 AS one, 'two' AS two

-- case: an order by that names an output column
SELECT upper(name) AS n FROM users ORDER BY n

-- case: a cast of the deletion column
SELECT id, deleted_at::text, coalesce(deleted_at, 'epoch') FROM users ORDER BY id

-- case: an unknown column
-- expect: error 42703
SELECT nope FROM users

-- case: an unknown column after several guarded tables keeps its position
-- expect: error 42703
SELECT u.id FROM users u JOIN orders o ON o.user_id = u.id WHERE u.city = 'x' OR o.nope = 1

-- case: an ambiguous column
-- expect: error 42702
SELECT deleted_at FROM users, orders

-- case: a duplicate alias
-- expect: error 42712
SELECT 1 FROM users u, orders u

-- case: a table that does not exist
-- expect: error 42P01
SELECT * FROM app.nothing, users

-- case: a division by zero that only live rows can cause
-- expect: error 22012
SELECT 1 / (age - 36) FROM users

-- case: a division by zero that only a deleted row would cause
SELECT sum(1 / (age - 6661)) FROM users

-- case: a cast that only a deleted row would fail
SELECT id, name::text FROM users WHERE length(name) < 40 AND (id || '0')::bigint > 0 ORDER BY id

-- case: a syntax error
-- expect: error 42601
SELECT FROM WHERE users

-- case: a semijoin in the on clause of an outer join
SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND EXISTS (SELECT FROM items i WHERE i.order_id = o.id)
ORDER BY 1, 2

-- case: outer join whose inner side is a comma list in a sub-select
SELECT u.id, s.n FROM users u LEFT JOIN (SELECT o.user_id, count(*) AS n FROM orders o, items i WHERE i.order_id = o.id GROUP BY 1) s
ON s.user_id = u.id ORDER BY u.id

-- case: an alias equal to another table's name
SELECT orders.id, orders.name FROM users AS orders ORDER BY 1

-- case: two tables with swapped aliases
SELECT users.note, orders.name FROM orders users JOIN users orders ON users.user_id = orders.id ORDER BY users.id

-- case: all columns by table name in a join
SELECT orders.*, users.name FROM orders JOIN users ON users.id = orders.user_id ORDER BY orders.id

-- case: an empty target list
SELECT FROM users
