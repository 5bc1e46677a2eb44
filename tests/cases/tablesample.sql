-- # TABLESAMPLE.
-- path: app, public

-- case: a system sample of everything
SELECT id FROM users TABLESAMPLE SYSTEM (100) ORDER BY id

-- case: a bernoulli sample that is repeatable
SELECT id FROM users TABLESAMPLE BERNOULLI (60) REPEATABLE (7) ORDER BY id

-- case: a sample with an alias and WHERE
SELECT u.id FROM users AS u TABLESAMPLE SYSTEM (100) WHERE u.city = 'London' OR u.id > 8 ORDER BY 1

-- case: a sample with column aliases
SELECT t.a FROM tasks AS t (a, b) TABLESAMPLE BERNOULLI (100) ORDER BY 1

-- case: a sample in a join
SELECT u.id, o.id FROM users u TABLESAMPLE SYSTEM (100) LEFT JOIN orders o TABLESAMPLE SYSTEM (100) ON o.user_id = u.id ORDER BY 1, 2

-- case: a sample whose size is a sub-select
SELECT id FROM logs TABLESAMPLE BERNOULLI ((SELECT count(*) * 12.5 FROM users)) ORDER BY id

-- case: a sample whose seed is a sub-select
SELECT count(*) FROM logs TABLESAMPLE BERNOULLI (50) REPEATABLE ((SELECT count(*) FROM users))

-- case: a sample of a partitioned table
SELECT id FROM measures TABLESAMPLE SYSTEM (100) ORDER BY id

-- case: a sample of an inheritance tree and of ONLY
SELECT (SELECT count(*) FROM animals TABLESAMPLE SYSTEM (100)), (SELECT count(*) FROM ONLY animals TABLESAMPLE SYSTEM (100))

-- case: a sample of nothing
SELECT id FROM users TABLESAMPLE SYSTEM (0)

-- case: a sample of a CTE fails
-- expect: error 42601
WITH users AS (SELECT 1) SELECT * FROM users TABLESAMPLE SYSTEM (100) x

-- case: a sample with a wrong size
-- expect: error 2202H
SELECT id FROM users TABLESAMPLE SYSTEM (101)
