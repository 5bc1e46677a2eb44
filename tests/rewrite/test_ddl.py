"""DDL in any order, among queries and transaction control: it is planned, and what it leaves unknown is refused."""

import random

import pytest

from pgsoftproxy.model.effects import ChangesCatalog
from pgsoftproxy.rewrite.plan import Outcome
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.touched import ANYTHING
from tests.rewrite.example import context, policy

DDL = """
ALTER INDEX a ATTACH PARTITION b
ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y
ALTER TYPE app.t ADD ATTRIBUTE deleted_at timestamptz CASCADE
ALTER TYPE t RENAME ATTRIBUTE a TO b CASCADE
ALTER TYPE t RENAME TO u
ALTER TYPE t SET SCHEMA app
ALTER TYPE t RENAME VALUE 'a' TO 'b'
CREATE TABLE app.x OF t
CREATE TABLE app.x OF t (PRIMARY KEY (a))
CREATE TABLE app.x (LIKE app.users INCLUDING ALL, y int)
CREATE TABLE app.x (a int) PARTITION BY LIST (a)
CREATE TABLE app.x PARTITION OF app.orders DEFAULT
CREATE TABLE app.x (deleted_at timestamptz[])
CREATE TABLE app.x (deleted_at pg_catalog.timestamptz(3) NOT NULL)
CREATE TABLE app.x (deleted_at SETOF int)
CREATE TABLE app.x (EXCLUDE USING gist (a WITH &&), a int4range, deleted_at timestamptz)
CREATE TABLE x ()
CREATE UNLOGGED TABLE app.x (id int generated always as identity, deleted_at timestamp)
CREATE FOREIGN TABLE app.x (a int, deleted_at timestamptz) SERVER s
IMPORT FOREIGN SCHEMA a FROM SERVER s INTO app
ALTER FOREIGN TABLE app.x ADD COLUMN deleted_at timestamptz
ALTER TABLE app.x ADD deleted_at timestamptz, ADD CONSTRAINT c CHECK (a > 1), ALTER a SET NOT NULL
ALTER TABLE IF EXISTS ONLY app.x ADD COLUMN IF NOT EXISTS deleted_at timestamptz
ALTER TABLE app.logs ALTER COLUMN id TYPE int USING id::int
ALTER TABLE app.logs DROP COLUMN id CASCADE
ALTER TABLE app.logs INHERIT app.users
ALTER TABLE app.logs NO INHERIT app.base
ALTER TABLE app.orders ATTACH PARTITION app.logs FOR VALUES IN (1)
ALTER TABLE app.logs ADD FOREIGN KEY (id) REFERENCES app.tenants ON DELETE CASCADE
ALTER TABLE app.logs OF t
ALTER TABLE app.logs NOT OF
ALTER TABLE app.logs SET SCHEMA other
ALTER TABLE public.users SET SCHEMA app
ALTER TABLE app.logs RENAME TO x
ALTER TABLE app.logs RENAME COLUMN id TO deleted_at
ALTER TABLE app.logs RENAME CONSTRAINT a TO b
ALTER INDEX app.i RENAME TO x
ALTER SEQUENCE app.s RENAME TO x
ALTER SEQUENCE s SET SCHEMA app
ALTER VIEW app.active RENAME TO x
ALTER VIEW app.active SET SCHEMA public
ALTER VIEW app.active RENAME COLUMN num TO n
ALTER MATERIALIZED VIEW app.frozen RENAME TO x
ALTER VIEW app.active ALTER COLUMN num SET DEFAULT 1
ALTER FUNCTION f(int) RENAME TO g
ALTER FUNCTION f SET SCHEMA app
ALTER TRIGGER t ON app.logs RENAME TO u
ALTER POLICY p ON app.logs RENAME TO q
ALTER RULE r ON app.logs RENAME TO s
ALTER DOMAIN d RENAME CONSTRAINT a TO b
ALTER DOMAIN d SET SCHEMA app
ALTER SCHEMA other RENAME TO app2
ALTER ROLE a RENAME TO b
ALTER DATABASE a RENAME TO b
ALTER EXTENSION e SET SCHEMA app
ALTER OPERATOR + (int, int) SET SCHEMA app
ALTER AGGREGATE a(int) RENAME TO b
ALTER COLLATION c RENAME TO d
ALTER TEXT SEARCH PARSER p RENAME TO q
ALTER LARGE OBJECT 1 OWNER TO x
ALTER PUBLICATION p RENAME TO q
CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1
CREATE SCHEMA AUTHORIZATION joe
CREATE TABLE app.x AS SELECT 1 AS deleted_at
SELECT 1 INTO app.x
CREATE TABLE app.x AS EXECUTE p
CREATE OR REPLACE VIEW app.active AS SELECT 1
CREATE VIEW app.v AS SELECT 1
CREATE RECURSIVE VIEW app.v (n) AS SELECT 1
CREATE MATERIALIZED VIEW app.m AS SELECT 1
CREATE TEMP TABLE users (a int)
CREATE TEMP TABLE users AS SELECT 1
CREATE TEMP VIEW users AS SELECT 1
CREATE TEMP SEQUENCE users
DROP TABLE users
DROP TABLE IF EXISTS x, users CASCADE
DROP VIEW users
DROP FOREIGN TABLE users
DROP MATERIALIZED VIEW IF EXISTS users
DROP INDEX CONCURRENTLY users
DROP TRIGGER t ON users
DROP TYPE users
DROP FUNCTION users(int)
DROP SCHEMA s CASCADE
DROP OWNED BY x
DROP CAST (int AS text)
DROP OPERATOR CLASS c USING btree
DISCARD TEMP
DISCARD ALL
CREATE EXTENSION e
DO $$BEGIN END$$
CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1
CREATE RULE r AS ON INSERT TO users DO NOTHING
CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION f()
CREATE TYPE app.c AS (a int, deleted_at timestamptz)
CREATE TYPE e AS ENUM ('a')
CREATE DOMAIN d AS int
COMMENT ON TABLE users IS 'x'
GRANT SELECT ON users TO x
GRANT USAGE ON SCHEMA app TO x
LOCK users
VACUUM users
TRUNCATE users, app.x
REINDEX TABLE users
CLUSTER users
CREATE STATISTICS s ON a, b FROM users
CREATE UNIQUE INDEX ON users (a)
ALTER TABLE users ADD COLUMN z int
ALTER TABLE users RENAME TO y
SECURITY LABEL ON TABLE users IS 'x'
REFRESH MATERIALIZED VIEW users
EXPLAIN ANALYZE CREATE TABLE app.q AS SELECT * FROM users
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
""".strip().split("\n")
"""Statements of all kinds that change relations, on names of the example and on others."""
QUERIES = """
SELECT * FROM users
SELECT * FROM app.x
SELECT * FROM x
INSERT INTO app.x VALUES (1) ON CONFLICT DO NOTHING
INSERT INTO x DEFAULT VALUES
DELETE FROM app.logs
UPDATE logs SET id = 1
MERGE INTO app.x USING users ON true WHEN MATCHED THEN DELETE
COPY app.x TO STDOUT
COPY users FROM STDIN
SELECT 1
CALL f()
TABLE app.active
TRUNCATE app.x
""".strip().split("\n")
"""What may come behind them."""
CONTROL = """
BEGIN
COMMIT
ROLLBACK
SAVEPOINT a
ROLLBACK TO a
RELEASE a
SET LOCAL search_path = pg_temp, app
SET search_path = app, public
SET search_path = "$user", public
SELECT set_config('search_path', x, true) FROM y
COMMIT AND CHAIN
""".strip().split("\n")
"""What takes back, ends, or changes what names mean."""
PATHS = (("app", "public"), ("public", "app"), ("$user", "public"), ("pg_temp", "app"), ())


def test_no_order_of_statements_is_too_much_for_the_rewriter() -> None:
    chosen = random.Random(3)  # noqa: S311 (not for secrets)
    for _ in range(3000):
        kinds = chosen.choices((DDL, QUERIES, CONTROL), (2, 1, 1), k=chosen.randint(1, 5))
        sql = "; ".join(chosen.choice(kind) for kind in kinds)
        plan = rewrite(sql, policy(), context(path=chosen.choice(PATHS)))
        assert len(plan.statements) in {1, len(kinds)}, sql


def touched(sql: str, path: tuple[str, ...] = ("app", "public")) -> set[str]:
    """Return the names that a statement touches."""
    (statement,) = rewrite(sql, policy(), context(path=path)).statements
    (effect,) = (effect for effect in statement.effects if isinstance(effect, ChangesCatalog))
    return set(effect.touched)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("CREATE TABLE app.made (id int)", set()),
        ("CREATE TABLE app.made (id int, deleted_at timestamptz)", {"made"}),
        ("CREATE TABLE public.made (id int, deleted_at timestamptz)", set()),
        ("CREATE TABLE made (id int, deleted_at timestamptz)", {"made"}),
        ("CREATE TABLE app.made (LIKE public.users)", {"made"}),
        ("CREATE TABLE app.made AS SELECT 1", {"made"}),
        ("CREATE TABLE IF NOT EXISTS app.logs (id int, deleted_at timestamptz)", set()),
        ("ALTER TABLE app.logs ADD COLUMN x int", set()),
        ("ALTER TABLE app.logs ADD COLUMN deleted_at timestamptz", {"logs"}),
        ("ALTER TABLE app.tenants ADD COLUMN deleted_at timestamptz", {"tenants"}),
        ("ALTER TABLE app.logs RENAME COLUMN id TO deleted_at", {"logs"}),
        ("ALTER TABLE app.logs RENAME TO made", set()),
        ("ALTER TABLE public.users SET SCHEMA app", set()),
        ("CREATE TABLE public.made () INHERITS (app.users)", {"made"}),
        ("CREATE TABLE public.made PARTITION OF app.logs DEFAULT", set()),
        ("CREATE TABLE app.made (deleted_at timestamptz) INHERITS (app.logs)", {"made", "logs"}),
        ("ALTER TABLE app.orders ADD FOREIGN KEY (user_id) REFERENCES app.logs ON DELETE CASCADE", {"logs"}),
        ("ALTER TABLE app.logs ADD FOREIGN KEY (id) REFERENCES app.tenants ON DELETE CASCADE", set()),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", {ANYTHING}),
        ("CREATE EXTENSION e", {ANYTHING}),
    ],
)
def test_names_that_may_mean_a_protected_table_are_touched(sql: str, names: set[str]) -> None:
    found = touched(sql)
    assert found >= names
    assert bool(found) is bool(names)


@pytest.mark.parametrize(
    ("sql", "last"),
    [
        ("CREATE TABLE app.made (deleted_at timestamptz); SELECT 1 FROM made", Outcome.REWRITTEN),
        ("CREATE TABLE app.made (deleted_at date); SELECT 1 FROM made", Outcome.REFUSED),
        ("CREATE TABLE app.made (gone timestamptz); SELECT 1 FROM made", Outcome.FORWARDED),
        ("ALTER TABLE app.logs ADD deleted_at timestamp; DELETE FROM logs", Outcome.REWRITTEN),
        ("CREATE TABLE app.made (LIKE app.users); SELECT 1 FROM made", Outcome.REFUSED),
        ("CREATE TABLE app.made (LIKE app.users); INSERT INTO made SELECT 1", Outcome.FORWARDED),
        ("CREATE TABLE app.made (LIKE app.users); COPY made TO STDOUT", Outcome.REFUSED),
        ("CREATE TABLE app.made (LIKE app.users); TRUNCATE made", Outcome.REFUSED),
        ("CREATE TABLE app.made (LIKE app.users); CREATE RULE r AS ON INSERT TO logs DO SELECT 1 FROM made",
         Outcome.REFUSED),
    ],
)  # fmt: skip
def test_what_a_text_has_changed_is_guarded_or_refused_in_the_rest_of_it(sql: str, last: Outcome) -> None:
    assert rewrite(sql, policy(), context()).statements[-1].outcome is last
