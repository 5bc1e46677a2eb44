-- # Relations changed and used in one text, where nobody can read the catalog in between.
-- protocol: simple
-- path: app, public

-- case: a table made and used in one text
CREATE TABLE app.made (id int PRIMARY KEY, note text); INSERT INTO made VALUES (1, 'a'), (2, 'b'); SELECT * FROM made; DELETE FROM made WHERE id = 1; SELECT count(*) FROM app.made

-- case: a column added and filled in one text
-- state: live
ALTER TABLE app.users ADD COLUMN extra int; UPDATE users SET extra = age * 2 WHERE age > 30; SELECT id, extra FROM users WHERE extra IS NOT NULL ORDER BY id

-- case: a table made and changed before it is used
-- origins: ignored
CREATE TABLE made (id int); ALTER TABLE made ADD COLUMN note text, ALTER COLUMN note SET DEFAULT 'x'; CREATE INDEX ON made (note); INSERT INTO made VALUES (1); SELECT * FROM made; DROP TABLE made

-- case: a migration with its own table of versions
CREATE TABLE IF NOT EXISTS app.versions (version bigint PRIMARY KEY, dirty boolean NOT NULL); INSERT INTO app.versions VALUES (1, false) ON CONFLICT DO NOTHING; SELECT version FROM versions; UPDATE versions SET dirty = true; TRUNCATE versions

-- case: a table whose columns come from a query is not known in the rest of the text
-- expect: refused 0A000
CREATE TABLE made AS SELECT id, deleted_at FROM users; SELECT * FROM made

-- case: a renamed column may be the deletion column
-- expect: refused 0A000
ALTER TABLE app.logs RENAME COLUMN message TO deleted_at; SELECT * FROM logs

-- case: a table that may have become protected is not truncated in the rest of the text
-- expect: refused 0A000
CREATE TABLE app.made (LIKE app.users); TRUNCATE app.made

-- case: a table moved under a glob is protected in the rest of the text
CREATE TABLE other.u2 (id int, deleted_at timestamptz); ALTER TABLE other.u2 SET SCHEMA app; DELETE FROM app.u2; SELECT * FROM app.u2 AS u

-- case: renamed tables and columns in one text
-- origins: ignored
ALTER TABLE app.logs RENAME TO entries; ALTER TABLE app.entries RENAME COLUMN message TO body; SELECT id, body FROM entries WHERE id < 3 ORDER BY id; ALTER TABLE entries ALTER COLUMN body SET DEFAULT 'x'; UPDATE entries SET body = 'x'

-- case: a child that joins a protected parent is not known in the rest of the text
-- expect: refused 0A000
CREATE TABLE public.child (LIKE app.users); ALTER TABLE public.child INHERIT app.users; SELECT count(*) FROM public.child

-- case: a child made under a protected parent is not known in the rest of the text
-- expect: refused 0A000
CREATE TABLE public.child () INHERITS (app.users); DELETE FROM public.child

-- case: rows may be added to what is not known
CREATE TABLE public.child () INHERITS (app.users); INSERT INTO public.child (id, email) VALUES (99, 'x')

-- case: a rollback takes back what was changed in the text
SAVEPOINT s; ALTER TABLE app.logs ADD COLUMN deleted_at timestamptz; ROLLBACK TO s; SELECT count(*) FROM logs; DELETE FROM logs WHERE id = 2

-- case: what a rollback leaves of the changes in the text is not known
-- expect: refused 0A000
ALTER TABLE app.logs ADD COLUMN deleted_at timestamptz; SAVEPOINT s; CREATE TABLE made (id int); ROLLBACK TO s; SELECT count(*) FROM logs

-- case: a partition of an unprotected table is used in one text
-- origins: ignored
CREATE TABLE public.events2 (id int, at date) PARTITION BY RANGE (at); CREATE TABLE public.events2_old PARTITION OF public.events2 DEFAULT; INSERT INTO public.events2 VALUES (1, '2026-01-01'); SELECT id FROM public.events2; SELECT id FROM public.events2_old

-- case: an unprotected parent of what joins it
-- expect: refused 0A000
CREATE TABLE public.parent (id int); CREATE TABLE app.child (deleted_at timestamptz) INHERITS (public.parent); SELECT * FROM public.parent

-- case: a view over a table that has become protected
-- expect: refused 0A000
ALTER TABLE app.logs RENAME COLUMN at TO deleted_at; ALTER TABLE app.logs ALTER COLUMN deleted_at TYPE timestamp; SELECT count(*) FROM app.log_messages
