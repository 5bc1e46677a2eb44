-- # INSERT, INSERT ... SELECT, ON CONFLICT.
-- path: app, public

-- case: insert values
INSERT INTO users (id, email, name) VALUES (20, 'new@example.com', 'New')

-- case: insert several rows
INSERT INTO orders (id, user_id, total) VALUES (200, 1, 1), (201, 2, 2), (202, 1, (SELECT max(total) FROM orders))

-- case: insert default values
-- expect: error 23502
INSERT INTO users DEFAULT VALUES

-- case: insert from a select
INSERT INTO logs (id, user_id, message) SELECT id + 500, id, name FROM users

-- case: insert into a protected table from another
INSERT INTO tasks (id, title) SELECT id, name FROM users ORDER BY id LIMIT 20 OFFSET 4

-- case: insert from the table itself
INSERT INTO items (id, order_id, sku, qty) SELECT id + 1000, order_id, sku, qty FROM items

-- case: insert from the TABLE form
INSERT INTO logs TABLE app.logs OFFSET 99

-- case: insert from a union
INSERT INTO logs (id, message) SELECT id + 500, name FROM users UNION ALL SELECT id + 900, note FROM orders

-- case: insert from a join
INSERT INTO logs (id, message) SELECT o.id, u.name FROM orders o LEFT JOIN users u ON u.id = o.user_id

-- case: insert with a WITH before INSERT
WITH u AS (SELECT * FROM users) INSERT INTO logs (id, message) SELECT id + 500, name FROM u

-- case: insert with a WITH inside the select
INSERT INTO logs (id, message) WITH users AS (SELECT 7 AS id, 'fake' AS name) SELECT id + 500, name FROM users

-- case: a WITH before INSERT named like the target does not shadow it
WITH logs AS (SELECT 1) INSERT INTO logs (id, message) VALUES (77, 'x')

-- case: insert with OVERRIDING
INSERT INTO invoices (id, net) OVERRIDING USER VALUE SELECT id, net + 1 FROM invoices WHERE id < 0

-- case: insert an email that only a deleted row has
INSERT INTO accounts (id, handle) VALUES (30, 'gamma')

-- case: insert an email of a live row
-- expect: error 23505
INSERT INTO users (id, email) VALUES (30, 'bob@example.com')

-- case: on conflict do nothing on a partial index with its predicate
INSERT INTO users (id, email) VALUES (30, 'bob@example.com'), (31, 'zoe@example.com')
ON CONFLICT (email) WHERE deleted_at IS NULL DO NOTHING RETURNING id

-- case: on conflict do update on a partial index with its predicate
INSERT INTO users (id, email, name) VALUES (30, 'bob@example.com', 'Bobby')
ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name RETURNING id, name

-- case: on conflict on a full unique index
INSERT INTO accounts (id, handle, balance) VALUES (30, 'alpha', 5), (31, 'delta', 6)
ON CONFLICT (handle) DO UPDATE SET balance = accounts.balance + excluded.balance RETURNING id, balance

-- case: on conflict do nothing on a full unique index
INSERT INTO accounts (id, handle, balance) VALUES (30, 'alpha', 5), (31, 'delta', 6) ON CONFLICT (handle) DO NOTHING

-- case: on conflict on the primary key
INSERT INTO tasks (id, title) VALUES (1, 'again'), (60, 'fresh') ON CONFLICT (id) DO UPDATE SET title = excluded.title

-- case: on conflict on a constraint
INSERT INTO accounts (id, handle, balance) VALUES (50, 'beta', 1) ON CONFLICT ON CONSTRAINT accounts_handle_key
DO UPDATE SET balance = excluded.balance RETURNING *

-- case: on conflict on a constraint do nothing
INSERT INTO accounts (id, handle, balance) VALUES (1, 'other', 1), (51, 'zeta', 2) ON CONFLICT ON CONSTRAINT accounts_pkey DO NOTHING

-- case: on conflict do update with a WHERE
INSERT INTO accounts AS a (id, handle, balance) VALUES (50, 'beta', 1), (51, 'alpha', 1) ON CONFLICT (handle)
DO UPDATE SET balance = -1 WHERE a.balance > 15 OR excluded.balance > 100 RETURNING a.id

-- case: on conflict do update with sub-selects
INSERT INTO accounts AS a (id, handle) VALUES (50, 'beta') ON CONFLICT (handle)
DO UPDATE SET balance = (SELECT count(*) FROM users) WHERE EXISTS (SELECT FROM users WHERE users.id = a.id)

-- case: on conflict do update with a multi-assignment
INSERT INTO accounts AS a (id, handle) VALUES (50, 'beta') ON CONFLICT (handle)
DO UPDATE SET (balance, handle) = (SELECT count(*), 'was ' || a.handle FROM users)

-- case: on conflict with an expression target fails without an index
-- expect: error 42P10
INSERT INTO accounts (id, handle) VALUES (50, 'beta') ON CONFLICT (lower(handle)) DO NOTHING

-- case: on conflict with a column that has no unique index
-- expect: error 42P10
INSERT INTO accounts (id, handle) VALUES (50, 'beta') ON CONFLICT (balance) DO NOTHING

-- case: on conflict with an operator class and collation
INSERT INTO accounts (id, handle) VALUES (50, 'beta') ON CONFLICT (handle COLLATE "default" text_ops) DO NOTHING

-- case: on conflict twice the same row
-- expect: error 21000
INSERT INTO accounts (id, handle) VALUES (50, 'beta'), (51, 'beta') ON CONFLICT (handle) DO UPDATE SET balance = 1

-- case: on conflict from a select
INSERT INTO accounts (id, handle, balance) SELECT u.id + 100, lower(u.name), 1 FROM users u ON CONFLICT (handle) DO NOTHING

-- case: on conflict of a partitioned table
INSERT INTO measures (id, day, value) VALUES (1, '2025-05-01', 99), (9, '2025-05-02', 98)
ON CONFLICT (id, day) DO UPDATE SET value = excluded.value

-- case: on conflict of a quoted table
INSERT INTO "Weird Name" ("Id", "Quoted ""Col") VALUES (1, 'up'), (9, 'in') ON CONFLICT ("Id") DO UPDATE SET "Quoted ""Col" = EXCLUDED."Quoted ""Col"

-- case: on conflict of a boolean table
INSERT INTO memos VALUES (1, 'up', NULL), (90, 'in', false) ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING *

-- case: on conflict of an unprotected table with a protected sub-select
INSERT INTO logs (id, message) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET message = (SELECT string_agg(name, ',' ORDER BY id) FROM users)

-- case: on conflict in an unprotected namesake
INSERT INTO public.users (id, email) VALUES (1, 'x'), (3, 'y') ON CONFLICT (id) DO UPDATE SET email = excluded.email

-- case: on conflict do update on all columns through parameters
-- bind: ["50", "beta", "9"]
INSERT INTO accounts (id, handle, balance) VALUES ($1, $2, $3) ON CONFLICT (handle) DO UPDATE SET balance = excluded.balance

-- case: on conflict with a partial index, by an inference without predicate, is what an application wrote before
-- against: full
INSERT INTO users (id, email, name) VALUES (30, 'bob@example.com', 'Bobby') ON CONFLICT (email) DO UPDATE SET name = excluded.name RETURNING id, name
-- direct:
INSERT INTO users (id, email, name) VALUES (30, 'bob@example.com', 'Bobby') ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name RETURNING id, name

-- case: on conflict do nothing with a partial index and an inference without predicate
-- against: full
INSERT INTO users (id, email) VALUES (30, 'bob@example.com'), (31, 'zoe@example.com') ON CONFLICT (email) DO NOTHING
-- direct:
INSERT INTO users (id, email) VALUES (30, 'bob@example.com'), (31, 'zoe@example.com') ON CONFLICT (email) WHERE deleted_at IS NULL DO NOTHING

-- case: on conflict with an email that only deleted rows have inserts
-- against: full
INSERT INTO users (id, email, name) VALUES (30, 'gone@example.com', 'Again') ON CONFLICT (email) DO UPDATE SET name = 'hit' RETURNING id, name
-- direct:
INSERT INTO users (id, email, name) VALUES (30, 'gone@example.com', 'Again') ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = 'hit' RETURNING id, name

-- case: insert of a row that is deleted from the start is not seen
INSERT INTO tasks (id, title, is_deleted) VALUES (70, 'stillborn', false)
-- next
SELECT * FROM tasks WHERE id = 70

-- case: insert and read back in one transaction
INSERT INTO orders (id, user_id, note) VALUES (300, 5, 'back')
-- next
SELECT id, note FROM orders WHERE user_id = 5

-- case: insert an email that only a deleted row has under a partial index
INSERT INTO users (id, email, name) VALUES (30, 'gone@example.com', 'Again') RETURNING *

-- case: upsert an email that only a deleted row has under a partial index
INSERT INTO users (id, email, name) VALUES (30, 'gone@example.com', 'Again')
ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = 'hit' RETURNING id, name, deleted_at

-- case: on conflict do nothing without a target on a table whose only unique index is the primary key
INSERT INTO tasks (id, title) VALUES (1, 'x'), (61, 'fresh') ON CONFLICT DO NOTHING

-- case: on conflict do nothing without a target on a table whose key is generated
INSERT INTO invoices (net, memo) VALUES (5, 'x'), (6, 'y') ON CONFLICT DO NOTHING

-- case: on conflict do nothing without a target, from a select
INSERT INTO tasks (id, title) SELECT id, name FROM users WHERE id < 4 OR id > 8 ON CONFLICT DO NOTHING RETURNING id
