-- The database that every case starts from. Each deleted row carries the canary in a text value, and numbers
-- that would change any sum. tests/oracle/databases.py makes the twin of it by removing the deleted rows, so
-- that oids, ctids and everything else about the remaining rows are the same in both.

CREATE SCHEMA app;
CREATE SCHEMA other;
CREATE SCHEMA "Mixed Schema";

CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN app.short_text AS text CHECK (length(VALUE) < 200);
CREATE TYPE app.pair AS (a int, b text);

CREATE TABLE app.users (
    id bigint PRIMARY KEY,
    email text NOT NULL,
    name text,
    city text,
    age int,
    manager_id bigint,
    created_at timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00',
    deleted_at timestamptz,
    deleted_by text,
    deletion_id uuid
);
CREATE UNIQUE INDEX users_email_live ON app.users (email) WHERE deleted_at IS NULL;
INSERT INTO app.users (id, email, name, city, age, manager_id) VALUES
    (1, 'ada@example.com', 'Ada', 'London', 36, NULL),
    (2, 'bob@example.com', 'Bob', 'Paris', 41, 1),
    (3, 'cleo@example.com', 'Cleo', 'London', 29, 1),
    (5, 'eve@example.com', 'Eve', 'Berlin', 52, 2),
    (6, 'fay@example.com', 'Fay', NULL, NULL, 4),
    (7, 'gus@example.com', 'Gus', 'Paris', 19, 4),
    (8, 'hal@example.com', 'Hal', 'Oslo', 64, 2),
    (9, 'ivy@example.com', 'Ivy', 'Berlin', 33, 10);
INSERT INTO app.users (id, email, name, city, age, manager_id, deleted_at, deleted_by) VALUES
    (4, 'ada@example.com', 'CANARY-9d41 Dan', 'London', 6661, 1, '2026-02-01 00:00:00+00', 'CANARY-9d41'),
    (10, 'CANARY-9d41@example.com', 'CANARY-9d41 Jo', 'CANARY-9d41', 6662, 2, '2026-02-02 00:00:00+00', NULL),
    (11, 'CANARY-9d41@example.com', 'CANARY-9d41 Kim', NULL, NULL, NULL, '2026-02-03 00:00:00+00', NULL),
    (12, 'gone@example.com', 'CANARY-9d41 Lou', 'Oslo', 6663, 1, '2026-02-04 00:00:00+00', NULL);

CREATE TABLE app.orders (
    id bigint PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES app.users,
    status text NOT NULL DEFAULT 'new',
    deleted_at timestamptz,
    total numeric(10, 2),
    note text,
    placed_on date
);
INSERT INTO app.orders (id, user_id, status, total, note, placed_on, deleted_at) VALUES
    (100, 1, 'paid', 10.50, 'first', '2026-01-02', NULL),
    (101, 1, 'new', 20.00, NULL, '2026-01-03', NULL),
    (102, 2, 'paid', 30.25, 'gift', '2026-01-03', NULL),
    (103, 3, 'lost', 5.00, 'late', '2026-01-05', NULL),
    (104, 4, 'paid', 77.00, 'of a deleted user', '2026-01-06', NULL),
    (105, 1, 'new', 6666.00, 'CANARY-9d41', '2026-01-07', '2026-02-01 00:00:00+00'),
    (106, 4, 'paid', 6667.00, 'CANARY-9d41', '2026-01-08', '2026-02-01 00:00:00+00'),
    (107, 5, 'CANARY-9d41', 6668.00, NULL, NULL, '2026-02-01 00:00:00+00');

CREATE TABLE app.items (
    id bigint PRIMARY KEY,
    order_id bigint,
    sku text,
    qty int,
    price numeric(8, 2),
    deleted_at timestamptz
);
INSERT INTO app.items VALUES
    (1000, 100, 'pen', 2, 1.25, NULL),
    (1001, 100, 'ink', 1, 8.00, NULL),
    (1002, 101, 'pen', 4, 1.25, NULL),
    (1003, 102, 'pad', 3, 4.50, NULL),
    (1004, 105, 'pad', 1, 4.50, NULL),
    (1005, NULL, 'cap', 9, 0.10, NULL),
    (1006, 100, 'CANARY-9d41', 666, 666.00, '2026-02-01 00:00:00+00'),
    (1007, 102, 'CANARY-9d41', 667, 666.00, '2026-02-01 00:00:00+00'),
    (1008, NULL, 'CANARY-9d41', NULL, NULL, '2026-02-01 00:00:00+00');

CREATE TABLE app.logs (id bigint PRIMARY KEY, user_id bigint, message text, at timestamptz);
INSERT INTO app.logs VALUES
    (1, 1, 'login', '2026-01-01 10:00:00+00'),
    (2, 1, 'logout', '2026-01-01 11:00:00+00'),
    (3, 4, 'login', '2026-01-02 10:00:00+00'),
    (4, 5, 'login', '2026-01-03 10:00:00+00'),
    (5, NULL, 'start', '2026-01-01 00:00:00+00');

-- A NOT NULL boolean, where live is false.
CREATE TABLE app.tasks (
    id int PRIMARY KEY,
    title text NOT NULL,
    mood app.mood,
    is_deleted boolean NOT NULL DEFAULT false
);
INSERT INTO app.tasks VALUES
    (1, 'write', 'happy', false), (2, 'read', 'ok', false), (3, 'sleep', NULL, false),
    (4, 'CANARY-9d41', 'sad', true), (5, 'CANARY-9d41', NULL, true);

-- A boolean that may be NULL, where both false and NULL are live.
CREATE TABLE app.memos (id int PRIMARY KEY, body text, gone boolean);
INSERT INTO app.memos VALUES
    (1, 'null is live', NULL), (2, 'false is live', false), (3, 'CANARY-9d41', true), (4, 'plain', NULL);

CREATE TABLE app.events (id int PRIMARY KEY, kind text, happened timestamp, deleted_at timestamp);
INSERT INTO app.events VALUES
    (1, 'start', '2026-01-01 08:00:00', NULL), (2, 'stop', '2026-01-01 09:00:00', NULL),
    (3, 'CANARY-9d41', '2026-01-01 10:00:00', '2026-02-01 00:00:00');

CREATE TABLE app.measures (
    id int NOT NULL, day date NOT NULL, value int, label text, deleted_at timestamptz, PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE app.measures_2025 PARTITION OF app.measures FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.measures_2026 PARTITION OF app.measures FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE app.measures_rest PARTITION OF app.measures DEFAULT;
INSERT INTO app.measures VALUES
    (1, '2025-05-01', 10, 'a', NULL), (2, '2025-06-01', 20, 'b', NULL), (3, '2026-01-01', 30, 'c', NULL),
    (4, '2026-02-01', 40, 'd', NULL), (5, '2030-01-01', 50, 'e', NULL),
    (6, '2025-07-01', 6661, 'CANARY-9d41', '2026-02-01 00:00:00+00'),
    (7, '2026-03-01', 6662, 'CANARY-9d41', '2026-02-01 00:00:00+00'),
    (8, '2031-01-01', 6663, 'CANARY-9d41', '2026-02-01 00:00:00+00');

CREATE TABLE app.animals (id int PRIMARY KEY, name text, deleted_at timestamptz);
CREATE TABLE app.dogs (breed text, PRIMARY KEY (id)) INHERITS (app.animals);
CREATE TABLE app.puppies (weeks int, PRIMARY KEY (id)) INHERITS (app.dogs);
INSERT INTO app.animals VALUES (1, 'cat', NULL), (2, 'CANARY-9d41 cow', '2026-02-01 00:00:00+00');
INSERT INTO app.dogs VALUES (3, 'rex', NULL, 'pug'), (4, 'CANARY-9d41 max', '2026-02-01 00:00:00+00', 'CANARY-9d41');
INSERT INTO app.puppies VALUES
    (5, 'bit', NULL, 'pug', 7), (6, 'CANARY-9d41 pip', '2026-02-01 00:00:00+00', 'CANARY-9d41', 6661);

CREATE TABLE app.invoices (
    id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    net numeric NOT NULL,
    tax numeric GENERATED ALWAYS AS (net * 0.2) STORED,
    memo text,
    deleted_at timestamptz,
    gross numeric GENERATED ALWAYS AS (net * 1.2) STORED
);
INSERT INTO app.invoices (id, net, memo, deleted_at) VALUES
    (1, 100, 'jan', NULL), (2, 200, 'feb', NULL), (3, 6666, 'CANARY-9d41', '2026-02-01 00:00:00+00');
SELECT setval('app.invoices_id_seq', 1000);  -- a sequence is ahead of the keys that were given by hand

CREATE TABLE app."Weird Name" (
    "Id" int PRIMARY KEY,
    "Quoted ""Col" text,
    "select" int,
    "Deleted At" timestamptz
);
INSERT INTO app."Weird Name" VALUES
    (1, 'one', 10, NULL), (2, 'two', 20, NULL), (3, 'CANARY-9d41', 6661, '2026-02-01 00:00:00+00');

-- Unprotected namesakes of protected tables.
CREATE TABLE public.users (id bigint PRIMARY KEY, email text, name text, deleted_at timestamptz);
INSERT INTO public.users VALUES
    (1, 'public@example.com', 'Public One', NULL), (2, 'gone@example.com', 'Public Gone', '2026-01-01 00:00:00+00');
CREATE TABLE other.orders (id bigint PRIMARY KEY, note text, deleted_at timestamptz);
INSERT INTO other.orders VALUES (1, 'other', '2026-01-01 00:00:00+00'), (2, 'live', NULL);
CREATE TABLE "Mixed Schema".users (id bigint PRIMARY KEY, name text, deleted_at timestamptz);
INSERT INTO "Mixed Schema".users VALUES (1, 'Mixed', NULL), (2, 'CANARY-9d41', '2026-02-01 00:00:00+00');

CREATE SCHEMA oracle_owner;
CREATE TABLE oracle_owner.tasks (id int, title text);
INSERT INTO oracle_owner.tasks VALUES (1, 'of the owner');

-- A full unique index, so that a deleted row still takes its key.
CREATE TABLE app.accounts (
    id int PRIMARY KEY, handle text UNIQUE, balance int NOT NULL DEFAULT 0, deleted_at timestamptz
);
INSERT INTO app.accounts VALUES
    (1, 'alpha', 10, NULL), (2, 'beta', 20, NULL), (3, 'CANARY-9d41', 6661, '2026-02-01 00:00:00+00');

CREATE TABLE app.products (
    sku text PRIMARY KEY,
    title text,
    tags text[],
    attrs jsonb,
    sizes int[],
    deleted_at timestamptz
);
INSERT INTO app.products VALUES
    ('pen', 'Pen', '{blue,red}', '{"w": 1, "parts": [{"n": "cap"}, {"n": "nib"}]}', '{1,2}', NULL),
    ('ink', 'Ink', '{}', '{"w": 2, "parts": []}', NULL, NULL),
    ('pad', 'Pad', NULL, 'null', '{3}', NULL),
    ('old', 'CANARY-9d41', '{CANARY-9d41}', '{"w": 666, "parts": [{"n": "CANARY-9d41"}]}', '{666}',
     '2026-02-01 00:00:00+00');

-- Dropped columns before, between and after.
CREATE TABLE app.relics (gone1 int, id int PRIMARY KEY, gone2 text, label text, deleted_at timestamptz, gone3 int);
INSERT INTO app.relics VALUES
    (1, 1, 'x', 'urn', NULL, 1), (1, 2, 'x', 'coin', NULL, 1),
    (1, 3, 'CANARY-9d41', 'CANARY-9d41', '2026-02-01 00:00:00+00', 1);
ALTER TABLE app.relics DROP COLUMN gone1, DROP COLUMN gone2, DROP COLUMN gone3;
CREATE UNIQUE INDEX "Lower Label" ON app.relics (lower(label) COLLATE "C" text_pattern_ops, id, (id + 1))
    WHERE deleted_at IS NULL AND id > 0;

-- A column of the table's own name, and a deletion column that other names could hide.
CREATE TABLE app.node (node int PRIMARY KEY, parent int, label text, deleted_at timestamptz);
INSERT INTO app.node VALUES
    (1, NULL, 'root', NULL), (2, 1, 'left', NULL), (3, 1, 'right', NULL), (4, 2, 'leaf', NULL),
    (5, 3, 'CANARY-9d41', '2026-02-01 00:00:00+00'), (6, 5, 'under a deleted one', NULL);

-- An unprotected parent whose cascade would physically remove protected rows.
CREATE TABLE app.categories (id int PRIMARY KEY, title text);
CREATE TABLE app.articles (
    id int PRIMARY KEY,
    category_id int REFERENCES app.categories ON DELETE CASCADE,
    title text,
    deleted_at timestamptz
);
CREATE TABLE app.areas (id int PRIMARY KEY);
INSERT INTO app.areas VALUES (1), (2);
CREATE TABLE app.authors (id int PRIMARY KEY, name text);
INSERT INTO app.authors VALUES (1, 'one'), (2, 'two'), (3, 'three');
ALTER TABLE app.articles
    ADD author_id int REFERENCES app.authors ON DELETE SET NULL,
    ADD editor_id int DEFAULT 2 REFERENCES app.authors ON DELETE SET DEFAULT ON UPDATE CASCADE;
ALTER TABLE app.categories ADD area_id int REFERENCES app.areas ON DELETE CASCADE ON UPDATE CASCADE;
CREATE VIEW app.category_titles AS SELECT id, title FROM app.categories;
INSERT INTO app.categories VALUES (1, 'news', 1), (2, 'empty', NULL);
INSERT INTO app.articles VALUES
    (1, 1, 'hello', NULL, 1, 1), (2, 1, 'CANARY-9d41', '2026-02-01 00:00:00+00', NULL, NULL);

-- An unprotected parent with a protected child: reading the parent reads the child.
CREATE TABLE public.things (id int, label text);
CREATE TABLE app.gadgets (deleted_at timestamptz) INHERITS (public.things);
INSERT INTO public.things VALUES (1, 'thing');
INSERT INTO app.gadgets VALUES (2, 'gadget', NULL), (3, 'CANARY-9d41', '2026-02-01 00:00:00+00');

-- A name of 63 bytes, and one outside ASCII.
CREATE TABLE app.abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678 (
    id int PRIMARY KEY, label text, deleted_at timestamptz
);
INSERT INTO app.abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678 VALUES
    (1, 'long', NULL), (2, 'CANARY-9d41', '2026-02-01 00:00:00+00');
CREATE TABLE app."Überblick" (id int PRIMARY KEY, "größe" text, deleted_at timestamptz);
INSERT INTO app."Überblick" VALUES (1, 'groß', NULL), (2, 'CANARY-9d41', '2026-02-01 00:00:00+00');

-- Exclusion constraints: one that counts deleted rows, one that does not.
CREATE TABLE app.shifts (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, span int4range, deleted_at timestamptz, EXCLUDE USING gist (span WITH &&)
);
CREATE TABLE app.breaks (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, span int4range, deleted_at timestamptz,
    CONSTRAINT breaks_apart EXCLUDE USING gist (span WITH &&) WHERE (deleted_at IS NULL)
);
INSERT INTO app.shifts (span, deleted_at) VALUES ('[1,5)', NULL), ('[10,15)', '2026-02-01 00:00:00+00');
INSERT INTO app.breaks (span, deleted_at) VALUES ('[1,5)', NULL), ('[10,15)', '2026-02-01 00:00:00+00');

-- Tables with upsert = "revive": a deleted row that holds the key comes back as newly inserted.
CREATE TABLE app.members (
    id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    email text UNIQUE,
    nick text DEFAULT 'new' || 'comer',
    points int NOT NULL DEFAULT 5,
    level int GENERATED ALWAYS AS (points / 10) STORED,
    tags text[],
    deleted_at timestamptz,
    deleted_by text,
    deletion_id uuid
);
INSERT INTO app.members (id, email, nick, points, tags, deleted_at, deleted_by, deletion_id) VALUES
    (1, 'ann@example.com', 'ann', 10, '{a}', NULL, NULL, NULL),
    (2, 'ben@example.com', 'ben', 20, NULL, NULL, NULL, NULL),
    (3, 'ray@example.com', 'CANARY-9d41', 6661, '{CANARY-9d41}', '2026-02-01 00:00:00+00', 'CANARY-9d41',
     '00000000-0000-0000-0000-000000000001'),
    (4, 'sue@example.com', 'CANARY-9d41', 6662, NULL, '2026-02-02 00:00:00+00', 'CANARY-9d41', NULL);
SELECT setval('app.members_id_seq', 1000);
CREATE TABLE app.badges (code text PRIMARY KEY, label varchar(20), is_gone boolean NOT NULL DEFAULT false);
INSERT INTO app.badges VALUES ('A', 'first', false), ('B', 'second', false), ('Z', 'CANARY-9d41', true);
CREATE TABLE app.slots (
    id int, day date, note text, deleted_at timestamptz, PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE app.slots_2025 PARTITION OF app.slots FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.slots_rest PARTITION OF app.slots DEFAULT;
INSERT INTO app.slots VALUES
    (1, '2025-05-01', 'a', NULL), (2, '2026-05-01', 'b', NULL),
    (3, '2025-06-01', 'CANARY-9d41', '2026-02-01 00:00:00+00'), (4, '2026-06-01', 'CANARY-9d41', '2026-02-01 00:00:00+00');
CREATE TABLE app.tickets (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE, note text, deleted_at timestamptz
);
INSERT INTO app.tickets (code, note, deleted_at) VALUES
    ('T1', 'one', NULL), ('T2', 'CANARY-9d41', '2026-02-01 00:00:00+00');
CREATE TABLE app.rooms (id int PRIMARY KEY, name text UNIQUE, deleted_at timestamptz);
CREATE TABLE app.beds (id int PRIMARY KEY, room_id int REFERENCES app.rooms, deleted_at timestamptz);
INSERT INTO app.rooms VALUES (1, 'red', NULL), (2, 'blue', '2026-02-01 00:00:00+00'), (3, 'grey', '2026-02-01 00:00:00+00');
INSERT INTO app.beds VALUES (1, 1, NULL), (2, 2, NULL);

-- Tables with truncate = "soft"; badges and slots too.
CREATE TABLE app.drafts (
    id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, body text, deleted_at timestamptz, deleted_by text, deletion_id uuid
);
CREATE TABLE app.sheets (
    id int PRIMARY KEY, draft_id int REFERENCES app.drafts, deleted_at timestamptz, before int REFERENCES app.sheets
);
CREATE TABLE app.folders (id int PRIMARY KEY, parent_id int REFERENCES app.folders, name text, deleted_at timestamptz);
CREATE TABLE app.shelves (id int PRIMARY KEY, folder_id int REFERENCES app.folders, name text);
CREATE TABLE app.boxes (id int PRIMARY KEY, name text, deleted_at timestamptz);
CREATE TABLE app.crates (size int, PRIMARY KEY (id)) INHERITS (app.boxes);
INSERT INTO app.drafts (id, body, deleted_at) VALUES
    (1, 'one', NULL), (2, 'two', NULL), (3, 'CANARY-9d41', '2026-02-01 00:00:00+00');
INSERT INTO app.sheets VALUES (1, 1, NULL, NULL), (2, 3, NULL, 1), (3, 1, '2026-02-01 00:00:00+00', 1);
INSERT INTO app.folders VALUES
    (1, NULL, 'top', NULL), (2, 1, 'sub', NULL), (3, 1, 'CANARY-9d41', '2026-02-01 00:00:00+00');
INSERT INTO app.shelves VALUES (1, 1, 'left');
INSERT INTO app.boxes VALUES (1, 'small', NULL), (2, 'CANARY-9d41', '2026-02-01 00:00:00+00');
INSERT INTO app.crates VALUES (3, 'large', NULL, 9), (4, 'CANARY-9d41', '2026-02-01 00:00:00+00', 6661);

CREATE VIEW app.user_names AS SELECT id, name FROM app.users;
CREATE MATERIALIZED VIEW app.order_totals AS
    SELECT user_id, sum(total) AS total, max(note) AS note FROM app.orders WHERE deleted_at IS NULL GROUP BY user_id;
CREATE VIEW app.log_messages AS SELECT id, message FROM app.logs;
CREATE VIEW app.user_name_lengths AS SELECT id, length(name) AS size FROM app.user_names;

CREATE VIEW app.user_orders (user_id, who, order_id, total) AS
    SELECT u.id, u.name, o.id, o.total FROM app.users u LEFT JOIN app.orders o ON o.user_id = u.id;
CREATE VIEW app.city_sizes AS
    WITH users AS (SELECT city FROM app.users WHERE city IS NOT NULL)
    SELECT city, count(*) AS size, (SELECT count(*) FROM app.orders) AS orders FROM users GROUP BY city
    UNION ALL SELECT 'all', count(*), NULL FROM app.users;
CREATE VIEW app."Odd View" WITH (security_barrier) AS
    SELECT w."Id", w AS "whole row", w."Deleted At" FROM app."Weird Name" w WHERE w."Id" > 0 WITH CHECK OPTION;
CREATE MATERIALIZED VIEW app.order_numbers AS
    SELECT CASE WHEN note LIKE '%-9d41%' THEN note::int ELSE id END AS n FROM app.orders WITH NO DATA;
CREATE VIEW app.histograms AS SELECT tablename, histogram_bounds::text AS bounds FROM pg_stats;
CREATE VIEW app.histogram_counts AS SELECT count(*) FROM app.histograms;
CREATE VIEW app.event_kinds AS SELECT kind FROM app.events;
CREATE VIEW public.tasks AS SELECT id, title FROM app.tasks WHERE NOT is_deleted;
CREATE VIEW app.measure_sums AS SELECT date_trunc('year', day)::date AS year, sum(value) AS value FROM app.measures GROUP BY 1;

CREATE FUNCTION app.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION app.pairs(int) RETURNS TABLE (n int, sq int) LANGUAGE sql IMMUTABLE
    AS 'SELECT i, i * i FROM generate_series(1, $1) AS g(i)';
CREATE PROCEDURE app.note(what text) LANGUAGE sql AS 'INSERT INTO app.logs (id, message) VALUES (900, what)';

-- Routines that lead to protected tables in every way that the proxy knows of.
CREATE SCHEMA routines;
GRANT USAGE ON SCHEMA routines TO PUBLIC;
CREATE FUNCTION routines.user_count() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.users';
CREATE FUNCTION routines.user_rows() RETURNS TABLE (id bigint, name text) LANGUAGE plpgsql
    AS $$ BEGIN RETURN QUERY SELECT u.id, u.name FROM app."users" AS u; END $$;
CREATE FUNCTION routines.indirect() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN routines.user_count() + 1; END';
CREATE FUNCTION routines.atomic() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT max(name) FROM app.users; END;
CREATE FUNCTION routines.step(state bigint, id bigint) RETURNS bigint LANGUAGE sql
    AS 'SELECT $1 + count(*) FROM app.users AS u WHERE u.id = $2';
CREATE AGGREGATE routines.folded(bigint) (sfunc = routines.step, stype = bigint, initcond = '0');
CREATE FUNCTION routines.summary(app.users) RETURNS text LANGUAGE sql
    AS 'SELECT string_agg(note, '' '') FROM app.orders WHERE user_id = $1.id';
CREATE FUNCTION routines.names() RETURNS SETOF text LANGUAGE sql AS 'SELECT name FROM app.user_names';
CREATE FUNCTION routines.executed(relation text) RETURNS bigint LANGUAGE plpgsql
    AS $$ DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM app.%I', relation) INTO n; RETURN n; END $$;
CREATE FUNCTION routines.exported(relation text) RETURNS xml LANGUAGE sql
    AS 'SELECT pg_catalog.table_to_xml(relation::regclass, true, false, '''')';
CREATE PROCEDURE routines.purge() LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DELETE FROM app.users'; END $$;
CREATE VIEW routines.summary AS SELECT routines.user_count() AS n;
CREATE VIEW routines.over_summary AS SELECT n + 1 AS n FROM routines.summary;
CREATE VIEW routines.doubled AS SELECT id, app.twice(id::int) AS n FROM app.logs;
