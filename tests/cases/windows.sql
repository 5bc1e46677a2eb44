-- # Window functions and their clauses.
-- path: app, public

-- case: row_number
SELECT id, row_number() OVER (ORDER BY id) FROM users ORDER BY id

-- case: a partitioned window
SELECT id, city, rank() OVER (PARTITION BY city ORDER BY age DESC, id) FROM users ORDER BY id

-- case: lag and lead skip deleted rows
SELECT id, lag(id) OVER w, lead(name) OVER w FROM users WINDOW w AS (ORDER BY id) ORDER BY id

-- case: a WINDOW clause after WHERE, GROUP BY and HAVING
SELECT city, sum(count(*)) OVER w FROM users WHERE age > 1 OR age IS NULL GROUP BY city HAVING count(*) > 0
WINDOW w AS (ORDER BY city) ORDER BY city LIMIT 3

-- case: WINDOW right after FROM
SELECT sum(total) OVER w FROM orders WINDOW w AS (ORDER BY id ROWS UNBOUNDED PRECEDING)

-- case: a window without WHERE but with ORDER BY after FROM
SELECT id, count(*) OVER () FROM users ORDER BY id

-- case: a frame offset from a sub-select
SELECT id, sum(age) OVER (ORDER BY id ROWS BETWEEN (SELECT count(*) FROM users WHERE city = 'Oslo') PRECEDING AND CURRENT ROW)
FROM users ORDER BY id

-- case: a range frame with exclusion
SELECT id, count(*) OVER (ORDER BY age RANGE BETWEEN 10 PRECEDING AND 10 FOLLOWING EXCLUDE CURRENT ROW) FROM users ORDER BY id

-- case: a groups frame
SELECT id, array_agg(id) OVER (ORDER BY city NULLS FIRST GROUPS 1 PRECEDING) IS NOT NULL FROM users ORDER BY id

-- case: partition by a sub-select
SELECT l.id, count(*) OVER (PARTITION BY (SELECT city FROM users u WHERE u.id = l.user_id)) FROM logs l ORDER BY 1

-- case: order by a sub-select in a window
SELECT l.id, row_number() OVER (ORDER BY (SELECT age FROM users u WHERE u.id = l.user_id) NULLS LAST, l.id) FROM logs l ORDER BY 1

-- case: a filtered window aggregate
SELECT id, count(*) FILTER (WHERE city IN (SELECT city FROM users WHERE age > 50)) OVER (ORDER BY id) FROM users ORDER BY id

-- case: a window over a window definition
SELECT id, sum(age) OVER (w ROWS 1 PRECEDING), avg(age) OVER w FROM users WINDOW w AS (PARTITION BY city ORDER BY id) ORDER BY id

-- case: a window over an outer join
SELECT u.id, o.id, sum(o.total) OVER (PARTITION BY u.id ORDER BY o.id) FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY 1, 2

-- case: a window named like a table
SELECT id, rank() OVER users FROM users WINDOW users AS (ORDER BY age, id) ORDER BY id

-- case: top n per group through a sub-select
SELECT * FROM (SELECT user_id, id, row_number() OVER (PARTITION BY user_id ORDER BY total DESC) AS r FROM orders) s WHERE r = 1 ORDER BY id

-- case: ntile and percent_rank over a boolean table
SELECT id, ntile(2) OVER (ORDER BY id), percent_rank() OVER (ORDER BY id) FROM memos ORDER BY id

-- case: first and last value over partitions of a partitioned table
SELECT id, first_value(id) OVER w, last_value(value) OVER w FROM measures WINDOW w AS (ORDER BY day) ORDER BY id
