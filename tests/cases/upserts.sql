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

-- case: insert of a key that a deleted row holds fails though upserts revive
-- against: full
-- expect: error 23505
INSERT INTO members (id, email) VALUES (50, 'ray@example.com')

-- case: an upsert revives a deleted row
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET nick = 'hit' RETURNING *

-- case: an upsert revives, updates and inserts in one statement
-- state: revived
INSERT INTO members AS m (id, email, points) VALUES (50, 'ray@example.com', 31), (51, 'ann@example.com', 32), (52, 'new@example.com', 33)
ON CONFLICT (email) DO UPDATE SET points = m.points + excluded.points, nick = upper(m.nick)

-- case: a revived row takes a new identity
-- compare: status
-- state: revived
INSERT INTO members (email) VALUES ('ray@example.com') ON CONFLICT (email) DO UPDATE SET nick = 'hit' RETURNING id, nick, points, level

-- case: an upsert with DO NOTHING revives a deleted row
-- state: revived
INSERT INTO members (id, email, tags) VALUES (50, 'sue@example.com', '{x}'), (51, 'ben@example.com', '{y}'), (52, 'new@example.com', '{z}')
ON CONFLICT (email) DO NOTHING RETURNING id, email, nick, deleted_at

-- case: an upsert on the primary key revives
-- state: revived
INSERT INTO members (id, email) VALUES (3, 'other@example.com'), (1, 'unused@example.com') ON CONFLICT (id) DO UPDATE SET points = members.points + 1 RETURNING *

-- case: an upsert on a constraint revives
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT ON CONSTRAINT members_email_key DO UPDATE SET points = 7 RETURNING *

-- case: an upsert with a WHERE revives whatever it says
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ann@example.com'), (52, 'ben@example.com') ON CONFLICT (email)
DO UPDATE SET nick = 'hit' WHERE members.points > 15 OR false RETURNING id, nick

-- case: a WHERE that would fail on a deleted row is not asked of it
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET nick = 'hit' WHERE 1 / (members.points - 6661) > 0 RETURNING id

-- case: a SET that would fail on a deleted row is not asked of it
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ann@example.com') ON CONFLICT (email)
DO UPDATE SET points = 100 / (members.points - 6661), (nick, tags) = (SELECT members.nick || 1 / (members.points - 6661), '{s}'::text[] FROM logs WHERE logs.id = 1)

-- case: a multi-assignment from a sub-select in an upsert that revives
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ann@example.com') ON CONFLICT (email)
DO UPDATE SET (points, nick) = (SELECT count(*)::int, max(name) FROM users), tags = '{set}' RETURNING *

-- case: a multi-assignment without a row in an upsert that revives
-- expect: error 23502
INSERT INTO members (id, email) VALUES (51, 'ann@example.com') ON CONFLICT (email)
DO UPDATE SET (points, nick) = (SELECT id, name FROM users WHERE id = 4)

-- case: a multi-assignment with a row per arm in an upsert that revives
-- expect: error 21000
INSERT INTO members (id, email) VALUES (51, 'ann@example.com') ON CONFLICT (email) DO UPDATE SET (points, nick) = (SELECT id::int, name FROM users)

-- case: a multi-assignment from a row in an upsert that revives
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ann@example.com') ON CONFLICT (email)
DO UPDATE SET (nick, points) = ('row', excluded.points * 2), (tags) = ROW(ARRAY['r'])

-- case: defaults in the SET of an upsert that revives
-- state: revived
INSERT INTO members (id, email, nick, points) VALUES (50, 'ray@example.com', 'r', 77), (51, 'ann@example.com', 'a', 78) ON CONFLICT (email)
DO UPDATE SET nick = DEFAULT, (points, tags) = (DEFAULT, DEFAULT), level = DEFAULT

-- case: defaults only in the INSERT of an upsert that revives
-- state: revived
INSERT INTO members VALUES (50, 'ray@example.com', DEFAULT, DEFAULT) ON CONFLICT (email) DO UPDATE SET points = 0 RETURNING *

-- case: an upsert that sets the deletion column itself
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET deleted_at = NULL, nick = 'back', points = excluded.points RETURNING *

-- case: an upsert from a select revives
-- state: revived
INSERT INTO members (id, email, nick) SELECT u.id + 100, 'ray@example.com', u.name FROM users u WHERE u.id = 1 ON CONFLICT (email) DO UPDATE SET nick = excluded.nick

-- case: an upsert in a CTE revives
-- state: revived
WITH m AS (INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ben@example.com') ON CONFLICT (email) DO UPDATE SET points = 1 RETURNING id, points)
SELECT * FROM m ORDER BY id

-- case: an upsert with parameters revives
-- state: revived
-- bind: ["50", "ray@example.com", "9"]
INSERT INTO members (id, email, points) VALUES ($1, $2, $3) ON CONFLICT (email) DO UPDATE SET points = $3, nick = $2 || 'x'

-- case: an upsert that revives by a prepared statement
-- state: revived
-- protocol: simple
PREPARE p (int, text) AS INSERT INTO members (id, email) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET nick = $2
-- next
EXECUTE p (50, 'ray@example.com')
-- next
EXECUTE p (51, 'ray@example.com')
-- next
SELECT id, nick FROM members WHERE email = 'ray@example.com'

-- case: two proposed rows with the key of one deleted row
-- expect: error 21000
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET points = 1

-- case: a revived row whose other key is taken by a live row
-- expect: error 23505
INSERT INTO members (id, email) VALUES (1, 'ray@example.com') ON CONFLICT (email) DO UPDATE SET points = 1

-- case: a revived row in a boolean table
-- state: revived
INSERT INTO badges VALUES ('Z', 'again'), ('A', 'x'), ('N', 'new') ON CONFLICT (code) DO UPDATE SET label = 'hit' RETURNING *

-- case: do nothing without a target revives where the table has one unique index
-- state: revived
INSERT INTO badges VALUES ('Z', 'again'), ('A', 'x'), ('N', 'new') ON CONFLICT DO NOTHING RETURNING *

-- case: rows of a partitioned table are revived
-- state: revived
INSERT INTO slots AS s VALUES (3, '2025-06-01', 'again'), (4, '2026-06-01', NULL), (1, '2025-05-01', 'x'), (9, '2025-09-09', 'new')
ON CONFLICT (id, day) DO UPDATE SET note = s.note || excluded.note RETURNING s.*, tableoid = 'slots_2025'::regclass

-- case: a row of a partition named itself is revived
-- state: revived
INSERT INTO slots_2025 VALUES (3, '2025-06-01', 'again') ON CONFLICT (id, day) DO NOTHING

-- case: a live row of a table that cannot be revived because of its identity
INSERT INTO tickets (code) VALUES ('T1') ON CONFLICT (code) DO UPDATE SET note = 'hit' RETURNING id, note

-- case: an identity that is the key itself does not stand in the way
-- state: revived
INSERT INTO tickets (id, code) OVERRIDING SYSTEM VALUE VALUES (2, 'T3'), (1, 'x') ON CONFLICT (id) DO UPDATE SET note = 'hit' RETURNING *

-- case: a row that nothing refers to is revived with another key
-- state: revived
INSERT INTO rooms VALUES (9, 'grey') ON CONFLICT (name) DO UPDATE SET name = 'x' RETURNING *

-- case: a row that others refer to is revived with its key
-- state: revived
INSERT INTO rooms VALUES (2, 'blue') ON CONFLICT (name) DO NOTHING

-- case: returning old and new of an upsert that revives
-- min-version: 18
-- origins: ignored
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (51, 'ann@example.com'), (52, 'new@example.com') ON CONFLICT (email)
DO UPDATE SET points = 1 RETURNING old.id, old.points + 1, new.points, old IS NULL, old, old.*, new.*, members.points

-- case: returning renamed old and new of an upsert that revives
-- min-version: 18
-- origins: ignored
-- state: revived
INSERT INTO members AS old (id, email) VALUES (50, 'ray@example.com'), (51, 'ann@example.com') ON CONFLICT (email)
DO UPDATE SET points = 1 RETURNING WITH (OLD AS o, NEW AS n) o.id AS was, n.id, old.id, (SELECT o.nick)

-- case: returning old of a boolean table that revives
-- min-version: 18
-- origins: ignored
-- state: revived
INSERT INTO badges VALUES ('Z', 'again'), ('A', 'x'), ('N', 'new') ON CONFLICT (code) DO UPDATE SET label = 'hit' RETURNING old.label, old.is_gone, label

-- case: returning whether a row was inserted by an upsert that revives
-- min-version: 18
-- origins: ignored
-- state: revived
INSERT INTO members (id, email) VALUES (50, 'ray@example.com'), (52, 'new@example.com') ON CONFLICT (email) DO UPDATE SET points = 1
RETURNING id, (xmax = 0) AS inserted, xmax, members.xmax

-- case: on conflict on a constraint that became a unique index on live rows
-- against: full
INSERT INTO users (id, email, name) VALUES (30, 'bob@example.com', 'Bobby'), (31, 'gone@example.com', 'Again') ON CONFLICT ON CONSTRAINT users_email_live DO UPDATE SET name = excluded.name RETURNING id, name
-- direct:
INSERT INTO users (id, email, name) VALUES (30, 'bob@example.com', 'Bobby'), (31, 'gone@example.com', 'Again') ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name RETURNING id, name

-- case: on conflict do nothing on a constraint that became a unique index on live rows
-- against: full
INSERT INTO users (id, email) VALUES (30, 'bob@example.com'), (31, 'gone@example.com') ON CONFLICT ON CONSTRAINT users_email_live DO NOTHING
-- direct:
INSERT INTO users (id, email) VALUES (30, 'bob@example.com'), (31, 'gone@example.com') ON CONFLICT (email) WHERE deleted_at IS NULL DO NOTHING

-- case: on conflict on a constraint that became an index with expressions and a collation
-- against: full
INSERT INTO relics VALUES (1, 'URN'), (7, 'new') ON CONFLICT ON CONSTRAINT "Lower Label" DO UPDATE SET label = 'hit' RETURNING *
-- direct:
INSERT INTO relics VALUES (1, 'URN'), (7, 'new') ON CONFLICT (lower(label) COLLATE "C" text_pattern_ops, id, (id + 1)) WHERE deleted_at IS NULL AND id > 0 DO UPDATE SET label = 'hit' RETURNING *

-- case: on conflict on a constraint that does not exist
-- expect: error 42704
INSERT INTO users (id, email) VALUES (30, 'bob@example.com') ON CONFLICT ON CONSTRAINT users_email_dead DO NOTHING

-- case: do nothing without a target where an exclusion constraint leaves deleted rows out
INSERT INTO breaks (span) VALUES ('[11,12)'), ('[2,3)'), ('[20,21)') ON CONFLICT DO NOTHING RETURNING span

-- case: do nothing on an exclusion constraint that leaves deleted rows out
INSERT INTO breaks (span) VALUES ('[11,12)'), ('[2,3)'), ('[20,21)') ON CONFLICT ON CONSTRAINT breaks_apart DO NOTHING RETURNING span
