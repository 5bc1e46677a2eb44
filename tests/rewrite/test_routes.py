"""DDL after which names may lead elsewhere, and what makes the server call or compute past the proxy."""

from dataclasses import replace

import pytest

from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import ChangesCatalog
from pgsoftproxy.rewrite.plan import Forward, Plan, Refused
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.rewrite import example
from tests.rewrite.test_routines import policy

UNCOVERING = [
    "ALTER VIEW active RENAME TO x",
    "ALTER TABLE app.active RENAME TO x",
    "ALTER MATERIALIZED VIEW frozen SET SCHEMA public",
    "ALTER TABLE tenants RENAME TO x",
    "ALTER SCHEMA other RENAME TO x",
    "ALTER FUNCTION app.report() RENAME TO x",
    "ALTER ROUTINE outer_report SET SCHEMA other",
    "ALTER EXTENSION hstore SET SCHEMA app",
    "ALTER TABLE users INHERIT logs",
    "ALTER TABLE logs ATTACH PARTITION app.orders DEFAULT",
    "ALTER TABLE logs ATTACH PARTITION app.base FOR VALUES IN (1)",
    "ALTER TABLE orders ADD COLUMN l int REFERENCES logs ON DELETE CASCADE",
    "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES logs ON DELETE CASCADE NOT VALID",
    "DO $$ BEGIN ALTER TABLE logs RENAME TO x; END $$",
]
HARMLESS = [
    "ALTER TABLE logs RENAME TO x",
    "ALTER TABLE users RENAME COLUMN email TO x",
    "ALTER TABLE users ADD COLUMN x int REFERENCES logs",
    "ALTER TABLE logs INHERIT logs2",
    "ALTER FUNCTION app.twice RENAME TO x",
    "ALTER SCHEMA nothing RENAME TO x",
    "CREATE TABLE x (id int)",
    "DO $$ BEGIN NULL; END $$",
]


def after(sql: str) -> Context:
    """Return the context that a statement leaves to the rest of its transaction, whose catalog nobody can read."""
    plan = rewrite(sql, policy(), example.context())
    assert isinstance(plan, Forward), plan
    context = example.context()
    for effect in plan.statements[0].effects:
        assert isinstance(effect, ChangesCatalog)
        context = context.after(effect)
    return context


def in_context(sql: str, context: Context) -> Plan:
    return rewrite(sql, policy(), context)


@pytest.mark.parametrize("sql", UNCOVERING)
def test_nothing_that_names_depend_on_follows_what_may_uncover_rows(sql: str) -> None:
    for reading in (
        "SELECT * FROM x",
        "SELECT x()",
        "DELETE FROM x",
        "CREATE VIEW v AS SELECT 1",
        "EXECUTE p",
    ):
        plan = in_context(reading, after(sql))
        assert isinstance(plan, Refused), (reading, plan)
        assert "READ COMMITTED" in (plan.refusal.hint or "")
        batch = rewrite(f"{sql}; {reading}", policy(), example.context())
        assert batch.statements[1].refusal is not None
    for going_on in ("COMMIT", "ROLLBACK", "SET x.y = 1", "SHOW x.y", "ALTER TABLE logs ADD COLUMN y int"):
        assert isinstance(in_context(going_on, after(sql)), Forward)


@pytest.mark.parametrize("sql", HARMLESS)
def test_other_ddl_does_not_stop_a_transaction(sql: str) -> None:
    assert isinstance(in_context("SELECT * FROM x", after(sql)), Forward)


def test_what_was_uncovered_is_known_again_once_the_transaction_has_ended() -> None:
    text = "BEGIN; ALTER VIEW active RENAME TO x; ROLLBACK; SELECT * FROM logs"
    assert rewrite(text, policy(), example.context()).statements[3].refusal is None
    text = "BEGIN; ALTER VIEW active RENAME TO x; COMMIT; SELECT * FROM logs"
    assert rewrite(text, policy(), example.context()).statements[3].refusal is not None


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE OPERATOR ### (leftarg = bigint, rightarg = bigint, function = app.report)",
        "CREATE AGGREGATE a (bigint) (sfunc = report, stype = bigint)",
        "CREATE AGGREGATE a (bigint) (sfunc = int8inc, stype = bigint, finalfunc = app.python)",
        "CREATE CAST (text AS bigint) WITH FUNCTION app.report(text)",
        "CREATE OPERATOR CLASS o FOR TYPE bigint USING btree AS FUNCTION 1 app.outer_report(bigint, bigint)",
        "CREATE TYPE r AS RANGE (subtype = bigint, subtype_diff = app.report)",
    ],
)
def test_what_would_call_a_routine_unnamed_is_judged_when_it_is_made(sql: str) -> None:
    plan = rewrite(sql, policy(), example.context())
    assert isinstance(plan, Refused), plan
    harmless = sql.replace("outer_report", "twice").replace("report", "twice").replace("python", "twice")
    assert isinstance(rewrite(harmless, policy(), example.context()), Forward)


@pytest.mark.parametrize(
    ("sql", "withheld"),
    [
        ("ALTER TABLE users ALTER COLUMN email TYPE int USING email::int", True),
        ("CREATE INDEX ON app.orders ((note::int))", True),
        ("ANALYZE", True),
        ("VACUUM ANALYZE users", True),
        ("REFRESH MATERIALIZED VIEW frozen", True),
        ("ALTER TABLE logs ALTER COLUMN id TYPE text", False),
        ("CREATE INDEX ON watched ((id::text))", False),
        ("ANALYZE logs", False),
        ("LOCK users", False),
    ],
)
def test_errors_of_ddl_that_computes_with_every_row_do_not_tell_values(sql: str, withheld: bool) -> None:
    plan = rewrite(sql, policy(), example.context())
    assert isinstance(plan, Forward)
    assert [one.sqlstate for one in plan.statements[0].translations] == (["22"] if withheld else [])


def test_tables_of_long_values_are_refused_only_where_something_is_hidden() -> None:
    sql = "SELECT chunk_data FROM pg_toast.pg_toast_16384"
    assert isinstance(rewrite(sql, example.policy(), example.context()), Refused)
    nothing = replace(example.policy(), protections={}, exposing={}, broken={}, destroying={}, calling={})
    assert isinstance(rewrite(sql, nothing, example.context()), Forward)
