"""What each statement form becomes, as text; that it answers right is for the oracle to show."""

import pytest

from pgsoftproxy.model.context import NO_ROLE, UNKNOWN_USER, VisibilityMode
from pgsoftproxy.model.effects import ChangesCatalog, Prepares, SetsVariable, Variable
from pgsoftproxy.rewrite.plan import REFUSAL_SQL, Forward, Outcome, Refused, Retag, Rewritten
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.rewrite.example import context, policy

STAMPS = (
    "deleted_at = pg_catalog.now(), deleted_by = SESSION_USER, "
    "deletion_id = (SELECT pg_catalog.gen_random_uuid())"
)
NULLS = "NULL::timestamp with time zone AS deleted_at, NULL::text AS deleted_by, NULL::uuid AS deletion_id"

PAIRS = {
    "one table": ("SELECT * FROM users", "SELECT * FROM users WHERE users.deleted_at IS NULL"),
    "a qualified name is its own qualifier": (
        "SELECT 1 FROM app.users",
        "SELECT 1 FROM app.users WHERE app.users.deleted_at IS NULL",
    ),
    "an OR keeps its precedence": (
        "SELECT 1 FROM users u WHERE a OR b -- why",
        "SELECT 1 FROM users u WHERE u.deleted_at IS NULL AND (a OR b) -- why",
    ),
    "a comma list shares one WHERE": (
        "SELECT 1 FROM users u, flags f GROUP BY 1",
        "SELECT 1 FROM users u, flags f WHERE u.deleted_at IS NULL AND NOT f.gone GROUP BY 1",
    ),
    "inner joins share the WHERE, in parens or not": (
        "SELECT 1 FROM logs l JOIN (users u CROSS JOIN orders o) USING (id) NATURAL JOIN flags f WHERE a OR b",
        "SELECT 1 FROM logs l JOIN (users u CROSS JOIN orders o) USING (id) NATURAL JOIN flags f "
        "WHERE u.deleted_at IS NULL AND o.deleted_at IS NULL AND NOT f.gone AND (a OR b)",
    ),
    "in an outer join one side goes into WHERE, the other into ON": (
        "SELECT 1 FROM users u LEFT JOIN orders o ON o.user_id = u.id AND (a OR b) ORDER BY 1",
        "SELECT 1 FROM users u LEFT JOIN orders o ON o.deleted_at IS NULL AND o.user_id = u.id AND (a OR b) "
        "WHERE u.deleted_at IS NULL ORDER BY 1",
    ),
    "ON comes before a longer ON of the same side": (
        "SELECT 1 FROM logs l LEFT JOIN flags f LEFT JOIN orders o ON NOT a ON true",
        "SELECT 1 FROM logs l LEFT JOIN (flags f JOIN (SELECT) AS _sd1 ON NOT f.gone) "
        "LEFT JOIN orders o ON o.deleted_at IS NULL AND NOT a ON true",
    ),
    "an OR in ON would bind weaker": (
        "SELECT 1 FROM logs l LEFT JOIN orders o ON a OR b",
        "SELECT 1 FROM logs l LEFT JOIN (orders o JOIN (SELECT) AS _sd1 ON o.deleted_at IS NULL) ON a OR b",
    ),
    "without an ON it is joined to a zero-column relation": (
        "SELECT 1 FROM users u LEFT JOIN orders o USING (id)",
        "SELECT 1 FROM users u LEFT JOIN (orders o JOIN (SELECT) AS _sd1 ON o.deleted_at IS NULL) USING (id) "
        "WHERE u.deleted_at IS NULL",
    ),
    "the right side of a right join is kept whole": (
        "SELECT 1 FROM users u RIGHT JOIN orders o ON true",
        "SELECT 1 FROM (users u JOIN (SELECT) AS _sd1 ON u.deleted_at IS NULL) RIGHT JOIN orders o ON true "
        "WHERE o.deleted_at IS NULL",
    ),
    "both sides of a full join are kept whole": (
        "SELECT 1 FROM users u FULL JOIN orders o ON true",
        "SELECT 1 FROM (users u JOIN (SELECT) AS _sd1 ON u.deleted_at IS NULL) "
        "FULL JOIN (orders o JOIN (SELECT) AS _sd2 ON o.deleted_at IS NULL) ON true",
    ),
    "an alias hides the names of a join": (
        "SELECT 1 FROM (users u JOIN orders o ON true) AS j",
        "SELECT 1 FROM ((users u JOIN (SELECT) AS _sd1 ON u.deleted_at IS NULL) "
        "JOIN orders o ON o.deleted_at IS NULL AND true) AS j",
    ),
    "a FROM inside an expression begins no list": (
        "SELECT extract(year FROM a) FROM logs l JOIN logs m ON l.id IS DISTINCT FROM m.id JOIN users u ON true",
        "SELECT extract(year FROM a) FROM logs l JOIN logs m ON l.id IS DISTINCT FROM m.id JOIN users u ON true "
        "WHERE u.deleted_at IS NULL",
    ),
    "ROWS FROM begins no list": (
        "SELECT 1 FROM (ROWS FROM (f(1), g(2)) AS r JOIN users u ON true) WHERE a",
        "SELECT 1 FROM (ROWS FROM (f(1), g(2)) AS r JOIN users u ON true) WHERE u.deleted_at IS NULL AND (a)",
    ),
    "unless ROWS is a column": (
        "SELECT 1 FROM (SELECT a rows FROM (logs l JOIN users u ON true)) AS s",
        "SELECT 1 FROM (SELECT a rows FROM (logs l JOIN (users u JOIN (SELECT) AS _sd1 ON u.deleted_at IS NULL) "
        "ON true)) AS s",
    ),
    "joins of an UPDATE and of a DELETE": (
        "UPDATE logs SET id = 1 FROM logs m JOIN users u ON true; "
        "DELETE FROM orders USING logs l JOIN users u ON true WHERE a",
        "UPDATE logs SET id = 1 FROM logs m JOIN users u ON true WHERE u.deleted_at IS NULL; "
        "UPDATE orders SET deleted_at = pg_catalog.now() FROM logs l JOIN users u ON true "
        "WHERE orders.deleted_at IS NULL AND u.deleted_at IS NULL AND (a)",
    ),
    "guards avoid names of the text": (
        "SELECT _sd1 FROM logs l FULL JOIN users u ON true",
        "SELECT _sd1 FROM logs l FULL JOIN (users u JOIN (SELECT) AS _sd_1 ON u.deleted_at IS NULL) ON true",
    ),
    "a column-alias list renames the column": (
        "SELECT 1 FROM ONLY (users) AS u(a, b, c) WHERE x",
        "SELECT 1 FROM ONLY (users) AS u(a, b, c) WHERE u.c IS NULL AND (x)",
    ),
    "a sample is filtered after sampling": (
        "SELECT 1 FROM users TABLESAMPLE system (1) REPEATABLE (2) ORDER BY 1",
        "SELECT 1 FROM users TABLESAMPLE system (1) REPEATABLE (2) WHERE users.deleted_at IS NULL ORDER BY 1",
    ),
    "TABLE becomes a SELECT": (
        "TABLE users ORDER BY id",
        "SELECT * FROM users WHERE users.deleted_at IS NULL ORDER BY id",
    ),
    "arms of a set operation": (
        "SELECT 1 FROM users UNION ALL (TABLE orders LIMIT 1)",
        "SELECT 1 FROM users WHERE users.deleted_at IS NULL "
        "UNION ALL (SELECT * FROM orders WHERE orders.deleted_at IS NULL LIMIT 1)",
    ),
    "inside a CTE its own name is the table": (
        "WITH users AS (SELECT * FROM users) SELECT * FROM users",
        "WITH users AS (SELECT * FROM users WHERE users.deleted_at IS NULL) SELECT * FROM users",
    ),
    "a CTE sees earlier siblings only": (
        "WITH a AS (SELECT 1 FROM users), users AS (SELECT 1), b AS (SELECT 1 FROM users) SELECT 1 FROM app.users",
        "WITH a AS (SELECT 1 FROM users WHERE users.deleted_at IS NULL), users AS (SELECT 1), "
        "b AS (SELECT 1 FROM users) SELECT 1 FROM app.users WHERE app.users.deleted_at IS NULL",
    ),
    "WITH of one arm ends there": (
        "(WITH users AS (SELECT 1) SELECT 1 FROM users) UNION SELECT id FROM users",
        "(WITH users AS (SELECT 1) SELECT 1 FROM users) UNION SELECT id FROM users WHERE users.deleted_at IS NULL",
    ),
    "sub-selects anywhere": (
        "VALUES ((SELECT max(id) FROM users), ARRAY(SELECT 1 FROM orders))",
        "VALUES ((SELECT max(id) FROM users WHERE users.deleted_at IS NULL), "
        "ARRAY(SELECT 1 FROM orders WHERE orders.deleted_at IS NULL))",
    ),
    "quoted names": (
        'SELECT 1 FROM app."Weird Name" WHERE "I d" = 1',
        'SELECT 1 FROM app."Weird Name" WHERE app."Weird Name".deleted_at IS NULL AND ("I d" = 1)',
    ),
    "a name longer than the server keeps": (
        f"SELECT 1 FROM users AS {'x' * 70}",
        f"SELECT 1 FROM users AS {'x' * 70} WHERE {'x' * 63}.deleted_at IS NULL",
    ),
    "an escaped name with its own escape character": (
        "SELECT 1 FROM U&\"us!0065rs\" UESCAPE '!' WHERE x",
        "SELECT 1 FROM U&\"us!0065rs\" UESCAPE '!' WHERE users.deleted_at IS NULL AND (x)",
    ),
    "characters wider than a byte": (
        "SELECT 'ä€😀' FROM users u WHERE é = 'ö' -- ü",
        "SELECT 'ä€😀' FROM users u WHERE u.deleted_at IS NULL AND (é = 'ö') -- ü",
    ),
    "words that look like clause ends": (
        "SELECT 1 FROM users u "
        "WHERE u.order IS DISTINCT FROM a::timestamp WITH TIME ZONE AND b IS JSON WITH UNIQUE KEYS",
        "SELECT 1 FROM users u "
        "WHERE u.deleted_at IS NULL AND "
        "(u.order IS DISTINCT FROM a::timestamp WITH TIME ZONE AND b IS JSON WITH UNIQUE KEYS)",
    ),
    "beside CURRENT OF, to which nothing can be added": (
        "UPDATE logs SET id = 1 FROM users u WHERE CURRENT OF c",
        "UPDATE logs SET id = 1 FROM (users u JOIN (SELECT) AS _sd1 ON u.deleted_at IS NULL) WHERE CURRENT OF c",
    ),
    "an unqualified system column beside CURRENT OF": (
        "UPDATE logs SET id = 1 FROM users u WHERE CURRENT OF c RETURNING ctid",
        "UPDATE logs SET id = 1 FROM users u, LATERAL (SELECT WHERE u.deleted_at IS NULL) AS _sd1 "
        "WHERE CURRENT OF c RETURNING ctid",
    ),
    "stray semicolons and comments between statements": (
        ";;/* a */TABLE users;/* b */;;-- é\nTABLE users ;; DELETE FROM flags;-- c",
        ";;/* a */SELECT * FROM users WHERE users.deleted_at IS NULL;/* b */;;-- é\n"
        "SELECT * FROM users WHERE users.deleted_at IS NULL ;; UPDATE flags SET gone = true WHERE NOT flags.gone;-- c",
    ),
    "hardly any spaces": (
        'SELECT(id)FROM"users"ORDER BY 1;SELECT 1 FROM users u WHERE(a)OR(b)ORDER BY(c);DELETE FROM"users"WHERE"id"=1',
        'SELECT(id)FROM"users" WHERE users.deleted_at IS NULL ORDER BY 1;'
        "SELECT 1 FROM users u WHERE u.deleted_at IS NULL AND ((a)OR(b))ORDER BY(c);"
        f'UPDATE"users" SET {STAMPS}WHERE users.deleted_at IS NULL AND ("id"=1)',
    ),
    "WITH inside a cast ends no clause": (
        "SELECT 1 FROM users u, logs l JOIN logs m ON a::time(1) WITH TIME ZONE = b WHERE c",
        "SELECT 1 FROM users u, logs l JOIN logs m ON a::time(1) WITH TIME ZONE = b WHERE u.deleted_at IS NULL AND (c)",
    ),
    "DELETE": (
        "DELETE FROM users WHERE id = 1",
        f"UPDATE users SET {STAMPS} WHERE users.deleted_at IS NULL AND (id = 1)",
    ),
    "DELETE keeps a hint between its words": (
        "DELETE /*+ hint */ FROM ONLY orders AS o",
        "UPDATE /*+ hint */  ONLY orders AS o SET deleted_at = pg_catalog.now() WHERE o.deleted_at IS NULL",
    ),
    "DELETE USING": (
        "DELETE FROM orders o USING users u, logs WHERE o.user_id = u.id",
        "UPDATE orders o SET deleted_at = pg_catalog.now() FROM users u, logs "
        "WHERE o.deleted_at IS NULL AND u.deleted_at IS NULL AND (o.user_id = u.id)",
    ),
    "DELETE RETURNING gives the row as it was": (
        "DELETE FROM users RETURNING *, users.deleted_at::date",
        f"UPDATE users SET {STAMPS} WHERE users.deleted_at IS NULL RETURNING users.id, users.email, {NULLS}, "
        "(NULL::timestamp with time zone)::date AS deleted_at",
    ),
    "DELETE of the row at a cursor": (
        "DELETE FROM orders WHERE CURRENT OF c",
        "UPDATE orders SET deleted_at = CASE WHEN orders.deleted_at IS NULL THEN pg_catalog.now() "
        "ELSE orders.deleted_at END WHERE CURRENT OF c",
    ),
    "DELETE in WITH": (
        "WITH gone AS (DELETE FROM flags RETURNING id) SELECT * FROM gone",
        "WITH gone AS (UPDATE flags SET gone = true WHERE NOT flags.gone RETURNING id) SELECT * FROM gone",
    ),
    "a CTE never shadows a target": (
        "WITH flags AS (SELECT 1) DELETE FROM flags",
        "WITH flags AS (SELECT 1) UPDATE flags SET gone = true WHERE NOT flags.gone",
    ),
    "UPDATE": (
        "UPDATE users u SET email = (SELECT 'x' FROM orders) FROM logs WHERE true OR false RETURNING *",
        "UPDATE users u SET email = (SELECT 'x' FROM orders WHERE orders.deleted_at IS NULL) FROM logs "
        "WHERE u.deleted_at IS NULL AND (true OR false) RETURNING *",
    ),
    "a multi-assignment's sub-select is guarded once": (
        "UPDATE logs SET (a, b) = (SELECT 1, 2 FROM users)",
        "UPDATE logs SET (a, b) = (SELECT 1, 2 FROM users WHERE users.deleted_at IS NULL)",
    ),
    "upsert on an index of live rows": (
        "INSERT INTO users (email) VALUES ('a') ON CONFLICT (email) DO UPDATE SET email = 'b' RETURNING id",
        "INSERT INTO users (email) VALUES ('a') ON CONFLICT (email) WHERE deleted_at IS NULL "
        "DO UPDATE SET email = 'b' WHERE users.deleted_at IS NULL RETURNING id",
    ),
    "DO NOTHING on an index of live rows": (
        "INSERT INTO users (email) SELECT email FROM orders ON CONFLICT (email) WHERE x DO NOTHING",
        "INSERT INTO users (email) SELECT email FROM orders WHERE orders.deleted_at IS NULL "
        "ON CONFLICT (email) WHERE deleted_at IS NULL AND (x) DO NOTHING",
    ),
    "upsert on a full index raises where a deleted row holds the key": (
        "INSERT INTO users AS u (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET email = 'b' WHERE x OR y",
        "INSERT INTO users AS u (id) VALUES (1) ON CONFLICT (id) WHERE deleted_at IS NULL DO UPDATE SET email = 'b' "
        "WHERE CASE WHEN u.deleted_at IS NULL THEN (x OR y) "
        "ELSE pg_catalog.concat('pgsoftproxy_key_held ', u.deleted_at)::pg_catalog.bool END",
    ),
    "DO NOTHING without a target where every key at risk is generated": (
        "INSERT INTO sole (email) VALUES ('a') ON CONFLICT DO NOTHING",
        None,
    ),
    "DO NOTHING without a target on a table with one key": (
        "INSERT INTO notes VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO notes VALUES (1) ON CONFLICT (id) WHERE deleted_at IS NULL DO UPDATE SET deleted_at = "
        "notes.deleted_at WHERE CASE WHEN notes.deleted_at IS NULL THEN false "
        "ELSE pg_catalog.concat('pgsoftproxy_key_held ', notes.deleted_at)::pg_catalog.bool END",
    ),
    "MERGE matches live rows only and stamps": (
        "MERGE INTO flags f USING users u ON f.id = u.id WHEN MATCHED AND CASE WHEN a THEN b END THEN DELETE "
        "WHEN NOT MATCHED BY SOURCE AND c OR d THEN DELETE WHEN NOT MATCHED BY SOURCE THEN DO NOTHING "
        "WHEN NOT MATCHED THEN INSERT (id) VALUES (1)",
        "MERGE INTO flags f USING (users u JOIN (SELECT) AS _sd1 ON u.deleted_at IS NULL) ON NOT f.gone AND "
        "(f.id = u.id) WHEN MATCHED AND CASE WHEN a THEN b END THEN UPDATE SET gone = true "
        "WHEN NOT MATCHED BY SOURCE AND NOT f.gone AND (c OR d) THEN UPDATE SET gone = true "
        "WHEN NOT MATCHED BY SOURCE AND NOT f.gone THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id) VALUES (1)",
    ),
    "MERGE RETURNING says DELETE and gives the row as it was": (
        "MERGE INTO orders o USING logs l ON true WHEN MATCHED THEN DELETE "
        "RETURNING merge_action(), l.id, o.deleted_at",
        "MERGE INTO orders o USING logs l ON o.deleted_at IS NULL AND (true) WHEN MATCHED THEN UPDATE SET deleted_at "
        "= pg_catalog.now() RETURNING (CASE WHEN merge_action() = 'UPDATE' AND NOT (o.deleted_at IS NULL) THEN "
        "'DELETE' ELSE merge_action() END) AS \"merge_action\", l.id, (CASE WHEN merge_action() = 'UPDATE' AND NOT "
        "(o.deleted_at IS NULL) THEN NULL::timestamp with time zone ELSE o.deleted_at END) AS deleted_at",
    ),
    "MERGE from a protected table": (
        "MERGE INTO logs USING orders ON true WHEN MATCHED THEN DO NOTHING",
        "MERGE INTO logs USING (orders JOIN (SELECT) AS _sd1 ON orders.deleted_at IS NULL) ON true "
        "WHEN MATCHED THEN DO NOTHING",
    ),
    "a view is read through its own definition": (
        "SELECT * FROM active, ONLY (active) AS a (x)",
        "SELECT * FROM ( SELECT users.id AS num FROM app.users WHERE app.users.deleted_at IS NULL) AS active, "
        "( SELECT users.id AS num FROM app.users WHERE app.users.deleted_at IS NULL) AS a (x)",
    ),
    "a view's name and row keep their meaning": (
        "SELECT app.active.num, active FROM app.active; TABLE active",
        "SELECT active.num, (CASE WHEN active IS NOT DISTINCT FROM NULL THEN NULL ELSE active::app.active END) FROM "
        "( SELECT users.id AS num FROM app.users WHERE app.users.deleted_at IS NULL) AS active; SELECT * FROM "
        "( SELECT users.id AS num FROM app.users WHERE app.users.deleted_at IS NULL) AS active",
    ),
    "COPY of a table": (
        "COPY users TO STDOUT WITH (FORMAT csv)",
        "COPY (SELECT id, email, deleted_at, deleted_by, deletion_id FROM ONLY users "
        "WHERE users.deleted_at IS NULL) TO STDOUT WITH (FORMAT csv)",
    ),
    "COPY of columns": (
        "COPY app.users (email, id) TO STDOUT",
        "COPY (SELECT email, id FROM ONLY app.users WHERE app.users.deleted_at IS NULL) TO STDOUT",
    ),
    "COPY of a query": (
        "COPY (DELETE FROM flags RETURNING id) TO STDOUT",
        "COPY (UPDATE flags SET gone = true WHERE NOT flags.gone RETURNING id) TO STDOUT",
    ),
    "inside EXPLAIN, PREPARE, DECLARE": (
        "EXPLAIN SELECT 1 FROM users; PREPARE p AS SELECT 1 FROM users; DECLARE c CURSOR FOR SELECT 1 FROM users",
        "EXPLAIN SELECT 1 FROM users WHERE users.deleted_at IS NULL; "
        "PREPARE p AS SELECT 1 FROM users WHERE users.deleted_at IS NULL; "
        "DECLARE c CURSOR FOR SELECT 1 FROM users WHERE users.deleted_at IS NULL",
    ),
    "CREATE TABLE AS, SELECT INTO": (
        "CREATE TABLE x AS SELECT 1 FROM users WITH NO DATA; SELECT 1 INTO y FROM users",
        "CREATE TABLE x AS SELECT 1 FROM users WHERE users.deleted_at IS NULL WITH NO DATA; "
        "SELECT 1 INTO y FROM users WHERE users.deleted_at IS NULL",
    ),
    "SHOW of a variable of the proxy": (
        "SHOW pgsoftproxy.visibility",
        "SELECT 'live'::pg_catalog.text AS \"pgsoftproxy.visibility\"",
    ),
    "another table of the same name": ("SELECT * FROM public.users", None),
    "a table that is only watched": ("DELETE FROM watched", None),
    "DDL that harms nothing": ("CREATE INDEX ON users (email); ALTER TABLE users ADD COLUMN x int", None),
    "COPY in": ("COPY users FROM STDIN", None),
    "an empty text": (" ; -- nothing", None),
    "ONLY an unprotected parent": ("SELECT * FROM ONLY base", None),
    "TRUNCATE of a table that is only watched": ("TRUNCATE watched", None),
    "TRUNCATE of one table": (
        "SELECT 1; TRUNCATE TABLE ONLY app.notes -- why",
        "SELECT 1; UPDATE ONLY app.notes SET deleted_at = pg_catalog.now() WHERE app.notes.deleted_at IS NULL -- why",
    ),
    "TRUNCATE of several tables": (
        "TRUNCATE notes, sole",
        "WITH pgsoftproxy_truncate1 AS (UPDATE notes SET deleted_at = pg_catalog.now() "
        "WHERE notes.deleted_at IS NULL) "
        "UPDATE sole SET deleted_at = pg_catalog.now() WHERE sole.deleted_at IS NULL",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_statement_is_sent_as(name: str) -> None:
    sql, expected = PAIRS[name]
    plan = rewrite(sql, policy(), context())
    if expected is None:
        assert isinstance(plan, Forward), plan
    else:
        assert isinstance(plan, Rewritten), plan
        assert plan.sql == expected


REFUSALS = {
    "SELECT most_common_vals FROM pg_stats": "0A000",
    "COPY pg_catalog.pg_statistic TO STDOUT": "0A000",
    "CREATE VIEW s AS SELECT * FROM pg_stats_ext": "0A000",
    "DELETE FROM orders USING users RETURNING deleted_at": "0A000",
    "DELETE FROM orders USING f(1) AS f RETURNING deleted_at": "0A000",
    "TRUNCATE logs, orders": "0A000",
    "TRUNCATE tenants CASCADE": "0A000",
    "TRUNCATE base": "0A000",
    "DROP TABLE IF EXISTS orders": "0A000",
    "DROP SCHEMA app CASCADE": "0A000",
    "DROP OWNED BY web": "0A000",
    "ALTER TABLE users DROP COLUMN deleted_at": "0A000",
    "ALTER TABLE users RENAME COLUMN deletion_id TO x": "0A000",
    "ALTER TABLE users RENAME TO x": "0A000",
    "ALTER TABLE users SET SCHEMA public": "0A000",
    "ALTER INDEX users RENAME TO x": "0A000",
    "ALTER VIEW users SET SCHEMA public": "0A000",
    "ALTER ROLE web SET standard_conforming_strings = off": "0A000",
    "ALTER DATABASE shop SET client_encoding = 'SJIS'": "0A000",
    "ALTER SYSTEM SET session_replication_role = replica": "42501",
    "ALTER TABLE users DISABLE TRIGGER ALL": "0A000",
    "ALTER TABLE users ALTER COLUMN deleted_at TYPE timestamptz USING NULL": "0A000",
    "ALTER TABLE base DETACH PARTITION child": "0A000",
    "ALTER SCHEMA app RENAME TO x": "0A000",
    "CREATE PUBLICATION p FOR TABLE users": "0A000",
    "CREATE PUBLICATION p FOR ALL TABLES": "0A000",
    "CREATE RULE r AS ON INSERT TO logs DO ALSO DELETE FROM users": "0A000",
    "CREATE RULE r AS ON DELETE TO users DO INSTEAD NOTHING": "0A000",
    "CREATE POLICY p ON logs USING (id IN (SELECT id FROM users))": "0A000",
    "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT id FROM users'": "0A000",
    "DO $$ BEGIN EXECUTE 'DELETE FROM app.users'; END $$": "0A000",
    "DELETE FROM active": "0A000",
    "SELECT * FROM unread": "0A000",
    "SELECT * FROM frozen": "0A000",
    "COPY active TO STDOUT": "0A000",
    "SELECT * FROM base": "0A000",
    "DELETE FROM base": "0A000",
    "SELECT * FROM broken": "0A000",
    "DELETE FROM tenants": "0A000",
    "COPY users TO '/tmp/x'": "0A000",
    "COPY BINARY users TO STDOUT": "0A000",
    "COPY users TO STDOUT DELIMITERS ','": "0A000",
    "COPY users (nope) TO STDOUT": "42703",
    "COPY (SELECT 1 FROM users) TO PROGRAM 'cat'": "0A000",
    "DO $$ BEGIN SET search_path = app; END $$": "0A000",
    "DO $$ BEGIN PERFORM set_config('search_path', 'app', false); END $$": "0A000",
    "SELECT query_to_xml('SELECT * FROM app.users', true, true, '')": "0A000",
    "SELECT 1 FROM users AS u(deleted_at)": "0A000",
    "INSERT INTO users (id, email) VALUES (1, 'a') ON CONFLICT DO NOTHING": "0A000",
    "DELETE FROM users RETURNING ctid": "0A000",
    "SET pgsoftproxy.visibility = 'all'": "42501",
    "SET pgsoftproxy.visibility = 'some'": "22023",
    "SET pgsoftproxy.nothing = 1": "42704",
    "SET pgsoftproxy.delete = 'hard'": "42501",
    "/* pgsoftproxy: visibility=all */ SELECT 1": "42501",
    "/* pgsoftproxy: colour=red */ SELECT 1": "22023",
    "SELECT set_config('pgsoftproxy.visibility', 'all', false)": "0A000",
    "SET standard_conforming_strings = off": "0A000",
    "SET client_encoding = 'SJIS'": "0A000",
    "UPDATE pg_settings SET setting = 'app' WHERE name = 'search_path'": "0A000",
    "SET session_replication_role = replica": "42501",
    "SELEKT 1": "42601",
    "SELECT 1" + " + 1" * 100_000: "54001",
}


@pytest.mark.parametrize("sql", REFUSALS, ids=lambda sql: sql[:60])
def test_statement_is_refused(sql: str) -> None:
    plan = rewrite(sql, policy(), context())
    assert isinstance(plan, Refused), plan
    assert plan.refusal.sqlstate == REFUSALS[sql]
    assert plan.statements[0].outcome is Outcome.REFUSED


def test_unqualified_system_column_keeps_its_table_out_of_a_join() -> None:
    plan = rewrite("SELECT ctid FROM users FOR UPDATE OF users", policy(), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql == "SELECT ctid FROM users WHERE users.deleted_at IS NULL FOR UPDATE OF users"


def test_command_tag_of_a_delete_is_repaired_and_counted() -> None:
    (statement,) = rewrite("DELETE FROM users", policy(), context()).statements
    assert statement.retag == Retag("UPDATE", "DELETE")
    assert statement.deletes == "app.users"


def test_delete_inside_with_does_not_change_the_tag() -> None:
    (statement,) = rewrite("WITH d AS (DELETE FROM users) SELECT 1", policy(), context()).statements
    assert statement.retag is None
    assert statement.deletes is None


def test_prepared_delete_remembers_what_it_deletes() -> None:
    (statement,) = rewrite("PREPARE p AS DELETE FROM users", policy(), context()).statements
    assert statement.effects == (Prepares("p", "PREPARE p AS DELETE FROM users", 9, "app.users"),)


def test_refused_statement_of_a_batch_stands_in_it_as_an_error() -> None:
    plan = rewrite("SELECT 1; DROP TABLE users; SELECT 2", policy(), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql == f"SELECT 1; {REFUSAL_SQL}; SELECT 2"
    assert [statement.outcome for statement in plan.statements] == [
        Outcome.FORWARDED,
        Outcome.REFUSED,
        Outcome.FORWARDED,
    ]


def test_statements_of_a_batch_see_what_those_before_them_set() -> None:
    sql = "BEGIN; SET LOCAL pgsoftproxy.visibility = 'all'; TABLE users; COMMIT; TABLE users"
    plan = rewrite(sql, policy(), context("support"))
    assert isinstance(plan, Rewritten)
    assert plan.sql.startswith("BEGIN; SET LOCAL pgsoftproxy.visibility = 'all'; TABLE users; COMMIT; SELECT")
    assert not plan.cacheable
    assert plan.statements[2].bypass is VisibilityMode.ALL


@pytest.mark.parametrize(
    ("directive", "predicate"),
    [
        ("visibility=deleted", " WHERE users.deleted_at IS NOT NULL"),
        ("visibility=all", ""),
        ("visibility=all for orders", " WHERE users.deleted_at IS NULL"),
        ("visibility='all for app.users, x'", ""),
        (
            "visibility=as_of 2026-01-31T00:00Z",
            " WHERE (users.deleted_at IS NULL OR users.deleted_at OPERATOR(pg_catalog.>) "
            "'2026-01-31T00:00:00+00:00'::pg_catalog.timestamptz)",
        ),
    ],
)
def test_leading_comment_sets_visibility_for_one_statement(directive: str, predicate: str) -> None:
    text = f"/* pgsoftproxy: {directive} */ SELECT 1 FROM users; SELECT 2 FROM users"
    plan = rewrite(text, policy(), context("support"))
    assert isinstance(plan, Rewritten)
    first, second = plan.sql.split("; ")[-2:]
    assert first.endswith(f"SELECT 1 FROM users{predicate}")
    assert second == "SELECT 2 FROM users WHERE users.deleted_at IS NULL"


def test_role_that_may_restore_reaches_deleted_rows_under_all() -> None:
    text = "/* pgsoftproxy: visibility=all */ UPDATE users SET deleted_at = NULL"
    assert isinstance(rewrite(text, policy(), context("support")), Forward)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM users",
        "DELETE FROM app.orders WHERE id = 1",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "MERGE INTO orders o USING logs l ON l.id = o.id WHEN MATCHED THEN DELETE",
        "EXPLAIN (ANALYZE, COSTS off) DELETE FROM users",
        "PREPARE p AS DELETE FROM users",
        "DELETE FROM tenants",
        "TRUNCATE logs, users",
        "DROP TABLE orders",
        "DROP SCHEMA app CASCADE",
        "DROP OWNED BY someone",
    ],
)
def test_what_passes_only_as_a_hard_delete_says_so(sql: str) -> None:
    (plan,) = rewrite(f"/* pgsoftproxy: delete=hard */ {sql}", policy(), context("dpo")).statements
    assert plan.hard and plan.refusal is None
    (plan,) = rewrite(sql, policy(), context("dpo")).statements
    assert not plan.hard


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM users",
        "UPDATE users SET email = 'x'",
        "DELETE FROM logs",
        "DELETE FROM watched",
        "MERGE INTO orders o USING logs l ON l.id = o.id WHEN MATCHED THEN DO NOTHING",
        "EXPLAIN DELETE FROM users",
        "TRUNCATE logs",
        "DROP TABLE logs",
        "DROP INDEX an_index",
        "ALTER TABLE users ADD COLUMN more int",
        "SET search_path = app",
    ],
)
def test_what_removes_no_protected_row_is_no_hard_delete(sql: str) -> None:
    (plan,) = rewrite(f"/* pgsoftproxy: delete=hard */ {sql}", policy(), context("dpo")).statements
    assert not plan.hard and plan.refusal is None


def test_hard_delete_stays_a_delete_of_live_rows() -> None:
    plan = rewrite("/* pgsoftproxy: delete=hard */ DELETE FROM users", policy(), context("dpo"))
    assert isinstance(plan, Rewritten)
    assert plan.sql.endswith("DELETE FROM users WHERE users.deleted_at IS NULL")
    assert plan.statements[0].retag is None


@pytest.mark.parametrize("sql", ["TRUNCATE users", "DROP TABLE users", "DELETE FROM tenants"])
def test_role_that_may_and_asked_removes_physically(sql: str) -> None:
    text = f"/* pgsoftproxy: delete=hard */ {sql}"
    assert isinstance(rewrite(text, policy(), context("dpo")), Forward)


def test_name_counts_as_protected_while_the_path_is_not_known() -> None:
    plan = rewrite("SELECT 1 FROM orders", policy(), context(path=("public",), certain=False))
    assert isinstance(plan, Rewritten)


def test_name_outside_the_path_is_not_the_protected_table() -> None:
    assert isinstance(rewrite("SELECT 1 FROM orders", policy(), context(path=("public",))), Forward)


def test_set_config_that_may_not_run_leaves_the_path_unknown() -> None:
    (statement,) = rewrite(
        "SELECT set_config('search_path', 'public', false) WHERE x", policy(), context()
    ).statements
    (effect,) = statement.effects
    assert isinstance(effect, SetsVariable)
    assert effect.variable is Variable.SEARCH_PATH
    assert "certain=False" in repr(effect.value)


def test_name_counts_as_protected_while_the_open_transaction_has_changed_the_catalog() -> None:
    outside = context(path=("public", "app"))
    assert isinstance(rewrite("SELECT 1 FROM users", policy(), outside), Forward)
    batch = rewrite("BEGIN; DROP TABLE public.users; SELECT 1 FROM users; COMMIT", policy(), outside)
    assert isinstance(batch, Rewritten)
    assert "FROM users WHERE users.deleted_at IS NULL; COMMIT" in batch.sql


def test_name_of_a_protected_table_stays_its_own_while_the_catalog_is_stale() -> None:
    sql = "BEGIN; ALTER TABLE users ADD COLUMN x int; SELECT x FROM users"
    plan = rewrite(sql, policy(), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql.endswith("SELECT x FROM users WHERE users.deleted_at IS NULL")


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1 FROM users AS u (a, b)", "COPY users TO STDOUT", "DELETE FROM users RETURNING *"],
)
def test_columns_are_not_counted_while_the_catalog_is_stale(sql: str) -> None:
    plan = rewrite(f"BEGIN; ALTER TABLE users DROP COLUMN email; {sql}", policy(), context())
    assert plan.statements[2].outcome is Outcome.REFUSED


def test_savepoint_rolled_back_takes_the_doubt_away() -> None:
    sql = "BEGIN; SAVEPOINT s; DROP TABLE public.users; ROLLBACK TO s; SELECT 1 FROM users"
    assert isinstance(rewrite(sql, policy(), context(path=("public", "app"))), Forward)


def test_role_set_by_set_config_is_followed_where_it_is_sure_to_run() -> None:
    for sql, user in (
        ("SELECT set_config('role', 'app', false)", "app"),
        ("SELECT set_config('role', 'none', false)", NO_ROLE),
        ("SELECT set_config('role', x, false) FROM logs", UNKNOWN_USER),
    ):
        (statement,) = rewrite(sql, policy(), context()).statements
        (effect,) = statement.effects
        assert isinstance(effect, SetsVariable)
        assert (effect.variable, effect.value) == (Variable.USER, user)


def test_set_config_of_an_unknown_setting_leaves_path_user_and_encoding_unknown() -> None:
    (statement,) = rewrite(
        "SELECT set_config(name, 'x', false) FROM pg_settings", policy(), context()
    ).statements
    assert [effect.variable for effect in statement.effects if isinstance(effect, SetsVariable)] == [
        Variable.SEARCH_PATH,
        Variable.USER,
        Variable.ENCODING,
    ]


def test_users_own_schema_counts_as_any_while_the_user_is_not_known() -> None:
    unknown = context(path=("$user", "public")).after(SetsVariable(Variable.USER, UNKNOWN_USER))
    assert isinstance(rewrite("SELECT 1 FROM orders", policy(), unknown), Rewritten)


def test_ddl_asks_for_a_new_catalog() -> None:
    (statement,) = rewrite("CREATE TABLE x (id int)", policy(), context()).statements
    assert statement.effects == (ChangesCatalog(),)


def test_syntax_error_has_the_servers_words_and_place() -> None:
    plan = rewrite("SELECT 'é' FROM WHERE", policy(), context())
    assert isinstance(plan, Refused)
    assert plan.refusal.message == 'syntax error at or near "WHERE"'
    assert plan.refusal.position == 17


def test_from_18_on_returning_reads_the_old_row() -> None:
    plan = rewrite("DELETE FROM users RETURNING *, id, new.email, users", policy(180000), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql.endswith("RETURNING old.*, old.id AS id, (NULL::text) AS email, old AS users")


def test_from_18_on_a_field_of_the_row_is_not_read_from_old_as_a_whole() -> None:
    plan = rewrite("DELETE FROM orders RETURNING (orders).id", policy(180000), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql.endswith("RETURNING (ROW(old.id, old.user_id, old.deleted_at)::app.orders).id")


def test_unqualified_column_of_the_target_alone_is_read_from_old() -> None:
    sql = "DELETE FROM orders USING logs, users WHERE true RETURNING user_id, email, id"
    plan = rewrite(sql, policy(180000), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql.endswith("RETURNING old.user_id AS user_id, email, id")


def test_role_that_sees_all_rows_may_read_statistics() -> None:
    text = "/* pgsoftproxy: visibility=all */ SELECT * FROM pg_stats"
    assert isinstance(rewrite(text, policy(), context("support")), Forward)


def test_observed_statement_is_forwarded_and_noted() -> None:
    (statement,) = rewrite("SELECT * FROM watched", policy(), context()).statements
    assert statement.outcome is Outcome.OBSERVED
    assert statement.observed == ("app.watched",)


@pytest.mark.parametrize("sql", ["TRUNCATE watched", "DROP TABLE watched", "ALTER TABLE watched RENAME TO x"])
def test_what_enforcement_would_refuse_passes_while_observed(sql: str) -> None:
    (statement,) = rewrite(sql, policy(), context()).statements
    assert statement.outcome is Outcome.OBSERVED
    assert statement.observed == ("app.watched",)


def test_syntax_error_at_the_end_has_its_place() -> None:
    plan = rewrite("SELECT 1 +", policy(), context())
    assert isinstance(plan, Refused)
    assert plan.refusal.position == 11


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(SELECT " * 1000 + "id FROM users" + ")" * 1000,
        "SELECT id FROM users WHERE id > 1" + " + 1" * 5000,
        "SELECT id FROM users" + " UNION ALL SELECT id FROM users" * 1000,
        "SELECT 1 FROM users u0" + "".join(f" JOIN users u{n} USING (id)" for n in range(1, 600)),
        "SELECT id FROM users WHERE " + "NOT " * 1000 + "true",
    ],
    ids=["sub-selects", "operators", "arms", "joins", "NOT"],
)
def test_deep_statement_is_rewritten(sql: str) -> None:
    plan = rewrite(sql, policy(), context())
    assert isinstance(plan, Rewritten)
    assert plan.sql.count("deleted_at IS NULL") == sql.count(" users")


def test_text_that_names_the_deletion_column_is_noted() -> None:
    (statement,) = rewrite("SELECT 1 FROM users WHERE deleted_at IS NULL", policy(), context()).statements
    assert statement.names_column


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("UPDATE users SET deleted_at = now() WHERE id = 1", ("app.users",)),
        ("UPDATE users SET (email, deleted_at) = ('x', $1)", ("app.users",)),
        ("WITH u AS (UPDATE flags SET gone = true RETURNING id) UPDATE orders SET deleted_at = 'now'",
         ("app.flags", "app.orders")),
        ("INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET deleted_at = now()", ("app.users",)),
        ("MERGE INTO orders o USING logs l ON l.id = o.id WHEN MATCHED THEN UPDATE SET deleted_at = now()",
         ("app.orders",)),
        ("UPDATE watched SET deleted_at = now()", ("app.watched",)),
        ("UPDATE users SET deleted_at = NULL", ()),
        ("UPDATE flags SET gone = false", ()),
        ("UPDATE users SET deleted_at = DEFAULT, email = deleted_at", ()),
        ("UPDATE users SET email = 'x' WHERE deleted_at < now()", ()),
        ("INSERT INTO users (id, deleted_at) VALUES (1, now())", ()),
        ("UPDATE public.users SET deleted_at = now()", ()),
    ],
)  # fmt: skip
def test_text_that_sets_the_deletion_column_itself_is_noted(sql: str, tables: tuple[str, ...]) -> None:
    plan = rewrite(sql, policy(), context())
    assert not isinstance(plan, Refused)
    assert plan.statements[0].by_hand == tables
    assert plan.statements[0].names_column or not tables
