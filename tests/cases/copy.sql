-- # COPY in both directions.
-- path: app, public

-- case: copy a table out
COPY users TO STDOUT

-- case: copy a table out by its schema
COPY app.orders TO STDOUT

-- case: copy columns out
COPY users (id, name) TO STDOUT

-- case: copy columns out in another order
COPY orders (note, id) TO STDOUT

-- case: copy the deletion column out
COPY orders (id, deleted_at) TO STDOUT

-- case: copy as CSV with a header
COPY users TO STDOUT WITH (FORMAT csv, HEADER)

-- case: copy as CSV with every option
COPY users (id, name, city) TO STDOUT WITH (FORMAT csv, HEADER true, DELIMITER ';', NULL '-', QUOTE '''', FORCE_QUOTE (name))

-- case: copy as CSV with quotes forced everywhere
COPY users TO STDOUT WITH (FORMAT csv, FORCE_QUOTE *)

-- case: copy with a text header
COPY orders TO STDOUT WITH (HEADER)

-- case: copy in the old syntax
COPY users TO STDOUT WITH CSV HEADER

-- case: copy in binary
COPY users TO STDOUT WITH (FORMAT binary)

-- case: copy with an encoding
COPY app."Überblick" TO STDOUT WITH (ENCODING 'LATIN1')

-- case: copy a query out
COPY (SELECT id, name FROM users) TO STDOUT

-- case: copy a join out
COPY (SELECT u.id, o.total FROM users u LEFT JOIN orders o ON o.user_id = u.id ORDER BY 1, 2) TO STDOUT WITH CSV

-- case: copy a TABLE out
COPY (TABLE users) TO STDOUT

-- case: copy VALUES out
COPY (VALUES (1, (SELECT count(*) FROM users))) TO STDOUT

-- case: copy a WITH out
COPY (WITH users AS (SELECT * FROM users WHERE id < 6) SELECT * FROM users) TO STDOUT

-- case: copy a delete out
COPY (DELETE FROM orders WHERE user_id = 1 RETURNING id, deleted_at) TO STDOUT

-- case: copy an update out
COPY (UPDATE orders SET note = 'x' RETURNING id) TO STDOUT

-- case: copy an insert out
COPY (INSERT INTO logs (id, message) SELECT id + 100, name FROM users RETURNING id, message) TO STDOUT

-- case: copy a partition out
COPY measures_2026 TO STDOUT

-- case: copy a partitioned table by a query
COPY (SELECT * FROM measures) TO STDOUT

-- case: copy an inheritance parent out copies only itself
COPY animals TO STDOUT

-- case: copy an inheritance child out
COPY dogs TO STDOUT

-- case: copy a table with generated columns out
COPY invoices TO STDOUT WITH CSV HEADER

-- case: copy a generated column out
-- expect: error 42P10
COPY invoices (id, tax) TO STDOUT

-- case: copy a table with dropped columns out
COPY relics TO STDOUT

-- case: copy a boolean table out
COPY tasks TO STDOUT

-- case: copy another boolean table out
COPY memos TO STDOUT

-- case: copy quoted names out
COPY "Weird Name" ("Quoted ""Col", "select") TO STDOUT CSV HEADER

-- case: copy arrays and jsonb out
COPY products TO STDOUT

-- case: copy an unprotected table out
COPY logs TO STDOUT

-- case: copy an unprotected namesake out
COPY public.users TO STDOUT

-- case: copy a namesake in a mixed-case schema out
COPY "Mixed Schema".users TO STDOUT

-- case: copy an unknown column out
-- expect: error 42703
COPY users (nope) TO STDOUT

-- case: copy an unknown table out
-- expect: error 42P01
COPY nothing TO STDOUT

-- case: copy with an unknown option
-- expect: error 42601
COPY users TO STDOUT WITH (NOPE)

-- case: copy with WHERE is only for copying in
-- expect: error 42601
COPY users TO STDOUT WHERE id = 1

-- case: copy with comments in odd places
COPY /* a */ users /* b */ ( /* c */ id /* d */ , name ) /* e */ TO /* f */ STDOUT -- g

-- case: copy out as a role without the privilege
-- role: oracle_clerk
-- expect: error 42501
COPY events TO STDOUT

-- case: copy in
COPY orders (id, user_id, note) FROM STDIN
-- copy: "400\t1\tone\n401\t2\t\\N\n"
-- next
SELECT id, note FROM orders WHERE id >= 400 ORDER BY id

-- case: copy in as CSV
COPY users (id, email, name) FROM STDIN WITH (FORMAT csv)
-- copy: 70,seventy@example.com,"Sev, Enty"
-- copy: 71,one@example.com,

-- case: copy into an unprotected table
COPY logs FROM STDIN
-- copy: "60\t1\tcopied\t\\N\n"

-- case: copy in with WHERE
COPY logs (id, message) FROM STDIN WHERE id > 61
-- copy: "61\ta\n62\tb\n"

-- case: copy in a broken line
-- expect: error 22P04
COPY orders (id, user_id) FROM STDIN
-- copy: "1\n"

-- case: copy in a double key
-- expect: error 23505
COPY users (id, email) FROM STDIN
-- copy: "80\tbob@example.com\n"

-- case: copy in nothing
COPY orders FROM STDIN
-- copy: ""

-- case: copy out, in and out again
COPY tasks TO STDOUT
-- next
COPY tasks (id, title, is_deleted) FROM STDIN
-- copy: "80\tcopied\tf\n"
-- next
COPY (SELECT * FROM tasks) TO STDOUT
