"""Statements that call routines, and bodies: what runs past the proxy is refused, warned of or allowed."""

from dataclasses import replace

import pytest

from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.context import Context, Visibility, VisibilityMode
from pgsoftproxy.model.policy import Mode, Policy, TableRule, compile_policy
from pgsoftproxy.model.routines import Action, Routine, RoutineRules
from pgsoftproxy.rewrite.plan import Forward, Outcome, Plan, Refused, StatementPlan
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.rewrite import example

SQL, PLPGSQL = "sql", "plpgsql"
ROUTINES = (
    Routine(1, "app", "report", SQL, "SELECT count(*) FROM app.users"),
    Routine(2, "app", "outer_report", PLPGSQL, "BEGIN RETURN (SELECT report()); END"),
    Routine(3, "app", "twice", SQL, "SELECT $1 * 2 /* of users */ -- and orders"),
    Routine(4, "app", "atomic", SQL, "", reads=(("app", "users"),)),
    Routine(5, "app", "over_atomic", SQL, "", calls=(4,)),
    Routine(6, "app", "total", "internal", calls=(1,)),
    Routine(7, "app", "python", "plpython3u"),
    Routine(8, "app", "dynamic", PLPGSQL, "BEGIN EXECUTE 'SELECT 1 FROM us' || 'ers'; END"),
    Routine(9, "app", "exported", SQL, "", runs_text="query_to_xml"),
    Routine(10, "app", "label", SQL, "SELECT max(id) FROM orders WHERE user_id = $1.id", takes_row=True),
    Routine(11, "other", "helper", SQL, "TABLE app.orders"),
    Routine(12, "app", "watching", SQL, "SELECT 1 FROM app.watched"),
    Routine(13, "app", "ping", SQL, "SELECT pong()"),
    Routine(14, "app", "pong", SQL, "SELECT ping()"),
    Routine(15, "app", "elsewhere", SQL, "SELECT 1 FROM public.users"),
    Routine(16, "app", "quoted", PLPGSQL, "BEGIN EXECUTE 'SELECT 1 FROM app.users'; END"),
    Routine(17, "app", "escaped", PLPGSQL, "BEGIN PERFORM 1 FROM app.U&\"!0075sers\" UESCAPE '!'; END"),
    Routine(18, "app", "reads_tenants", SQL, "SELECT id FROM tenants"),
    Routine(19, "app", "empties_tenants", SQL, "DELETE FROM tenants"),
    Routine(20, "app", "exports", SQL, "SELECT table_to_xml($1, true, false, '')"),
    Routine(21, "app", "statistics", SQL, "SELECT most_common_vals FROM pg_stats"),
    Routine(22, "app", "label_of", SQL, "SELECT ($1).label"),
    Routine(23, "app", "unreadable", PLPGSQL, "BEGIN x := 'it''s; users"),
    Routine(24, "app", "weird", PLPGSQL, 'BEGIN DELETE FROM "Weird Name"; END'),
    Routine(26, "app", "quiet", PLPGSQL, "BEGIN SET LOCAL session_replication_role = replica; END"),
    Routine(27, "app", "quieter", SQL, "SELECT set_config('Session_Replication_Role', 'replica', false)"),
    Routine(28, "app", "hushing", SQL, "SELECT app.quiet()"),
    Routine(29, "app", "is_quiet", SQL, "SELECT current_setting('session_replication_role') = 'replica'"),
    Routine(30, "pgsoftproxy", "restore", PLPGSQL),
    Routine(31, "app", "undo", SQL, "SELECT pgsoftproxy.restore('users', '1')"),
    Routine(25, "app", "long", SQL, f'SELECT 1 FROM "{"x" * 63}yz"'),
)
VIEWS = (
    Relation(101, "app", "summary", RelationKind.VIEW, definition=" SELECT app.report() AS n;", calls=(1,)),
    Relation(102, "app", "above", RelationKind.VIEW, definition=" SELECT n FROM app.summary;", reads=(101,)),
    Relation(103, "app", "doubled", RelationKind.VIEW, definition=" SELECT app.twice(1) AS n;", calls=(3,)),
    Relation(104, "app", "export", RelationKind.VIEW, definition=" SELECT query_to_xml('x'::text, true);"),
    Relation(105, "app", "kept", RelationKind.MATVIEW, definition=" SELECT app.report() AS n;", calls=(1,)),
)
RULES = RoutineRules()


def policy(rules: RoutineRules = RULES) -> Policy:
    made = example.policy()
    relations = {**made.catalog.relations, **{view.oid: view for view in VIEWS}}
    routines = {routine.oid: routine for routine in ROUTINES}
    catalog = replace(made.catalog, relations=relations, routines=routines)
    return replace(compile_policy(example.RULES, example.GRANTS, catalog, 1)[0], routines=rules)


def planned(sql: str, rules: RoutineRules = RULES, context: Context | None = None) -> Plan:
    return rewrite(sql, policy(rules), context or example.context())


def passed(sql: str, rules: RoutineRules = RULES, context: Context | None = None) -> StatementPlan:
    plan = planned(sql, rules, context)
    assert isinstance(plan, Forward), plan
    return plan.statements[0]


def refusal(sql: str, rules: RoutineRules = RULES, context: Context | None = None) -> tuple[str, str]:
    plan = planned(sql, rules, context)
    assert isinstance(plan, Refused), plan
    assert plan.refusal.sqlstate == "0A000"
    return plan.refusal.message, plan.refusal.hint or ""


def everything(visibility: Visibility = Visibility(VisibilityMode.ALL)) -> Context:  # noqa: B008 - immutable
    context = example.context("support")
    current = replace(context.values, visibility=visibility)
    return replace(context, variables=replace(context.variables, current=current))


@pytest.mark.parametrize(
    "name",
    """
    report outer_report atomic over_atomic python dynamic exported label empties_tenants quoted escaped exports
    statistics unreadable weird label_of
    """.split(),
)
def test_call_of_a_routine_that_reaches_protected_rows_is_refused(name: str) -> None:
    message, _ = refusal(f"SELECT app.{name}(1)")
    assert message.startswith(f'"app.{name}" runs inside the server, past the proxy')


@pytest.mark.parametrize("name", "twice watching ping elsewhere reads_tenants long nowhere".split())
def test_call_of_a_routine_that_does_not_passes(name: str) -> None:
    assert passed(f"SELECT app.{name}(1)").warnings == ()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT report()",
        "SELECT * FROM app.report() AS r",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), app.report()) AS r",
        "SELECT * FROM logs, LATERAL app.report() AS r",
        "CALL app.report()",
        "INSERT INTO logs VALUES (app.report())",
        "SELECT id FROM logs ORDER BY report()",
        "SELECT app.total(id) OVER () FROM logs",
        "SELECT shop.app.report()",
        "SELECT REPORT()",
        'SELECT "report"()',
        "VALUES (1, app.report())",
        "WITH x AS (SELECT app.report()) SELECT 1",
        "EXPLAIN SELECT app.report()",
        "PREPARE p AS SELECT app.report()",
        "COPY (SELECT app.report()) TO STDOUT",
        "CREATE TABLE t AS SELECT app.report()",
        "UPDATE logs SET id = app.report()",
        "DO $$ BEGIN PERFORM app.report(); END $$",
        "DO $$ BEGIN EXECUTE 'SELECT app.report()'; END $$",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT app.report()'",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql RETURN app.report()",
    ],
)
def test_call_is_found_wherever_it_stands(sql: str) -> None:
    assert '"app.users"' in refusal(sql)[0]


@pytest.mark.parametrize("sql", ["SELECT l.label FROM logs AS l", "SELECT (l).label FROM logs AS l"])
def test_a_column_of_a_row_that_is_a_function_is_a_call(sql: str) -> None:
    assert '"app.orders"' in refusal(sql)[0]


def test_a_plain_column_of_a_functions_name_is_none() -> None:
    assert passed("SELECT label, report FROM logs").outcome is Outcome.FORWARDED


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM app.summary",
        "SELECT 1 FROM logs WHERE EXISTS (SELECT FROM above)",
        "SELECT * FROM kept",
        "COPY kept TO STDOUT",
        "CREATE VIEW v AS SELECT n FROM summary",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT n FROM app.above'",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql RETURN (SELECT n FROM app.above)",
    ],
)
def test_view_that_calls_a_routine_is_judged_by_it(sql: str) -> None:
    assert '"app.users"' in refusal(sql)[0]


def test_refusal_of_a_view_names_the_routine() -> None:
    message, hint = refusal("SELECT * FROM above")
    assert message.startswith(
        'view "app.above" runs inside the server, past the proxy and calls "app.report"; '
    )
    assert '[routines] allow = ["app.report"]' in hint


def test_view_that_calls_what_runs_text_is_opaque() -> None:
    assert "query_to_xml" in refusal("SELECT * FROM app.export")[0]
    assert passed("SELECT * FROM app.export", RoutineRules(opaque=Action.ALLOW)).warnings == ()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM doubled",
        "DROP VIEW summary",
        "REFRESH MATERIALIZED VIEW kept",
        "GRANT SELECT ON summary TO web",
        "WITH summary AS (SELECT 1 AS n) SELECT * FROM summary",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT n FROM app.doubled'",
    ],
)
def test_view_without_such_a_call_or_not_read_passes(sql: str) -> None:
    assert passed(sql).warnings == ()


def test_view_is_allowed_by_its_own_name_or_the_routines() -> None:
    assert passed("SELECT * FROM summary", RoutineRules(allow=frozenset({("app", "summary")}))).warnings == ()
    assert passed("SELECT * FROM above", RoutineRules(allow=frozenset({("app", "report")}))).warnings == ()


def test_refusal_names_the_way_from_call_to_table_and_the_way_out() -> None:
    message, hint = refusal("SELECT outer_report()")
    assert message == (
        '"app.outer_report" runs inside the server, past the proxy and calls "app.report"; '
        'it names "app.users", which is protected'
    )
    assert '[routines] allow = ["app.outer_report"]' in hint


def test_unqualified_name_means_a_routine_of_the_search_path() -> None:
    assert passed("SELECT report()", context=example.context(path=("public",))).warnings == ()
    assert passed("SELECT helper()").warnings == ()
    assert '"app.orders"' in refusal("SELECT other.helper()")[0]
    assert '"app.orders"' in refusal("SELECT helper()", context=example.context("other", ("$user",)))[0]


def test_unqualified_name_may_mean_any_routine_while_the_search_path_is_not_known() -> None:
    assert refusal("SELECT helper()", context=example.context(certain=False))


def test_dropping_granting_and_commenting_do_not_call() -> None:
    for sql in (
        "DROP FUNCTION app.report()",
        "GRANT EXECUTE ON FUNCTION app.report() TO web",
        "COMMENT ON FUNCTION app.report() IS 'x'",
        "CREATE TRIGGER t BEFORE INSERT ON logs EXECUTE FUNCTION app.report()",
    ):
        assert passed(sql).warnings == ()


def test_warned_statement_passes_with_a_message_for_each_class() -> None:
    rules = RoutineRules(Action.WARN, Action.WARN, Action.WARN)
    (warning,) = passed("SELECT app.report()", rules).warnings
    assert (warning.kind, '"app.users"' in warning.message) == ("existing", True)
    (warning,) = passed("DO $$ BEGIN DELETE FROM users; END $$", rules).warnings
    assert (warning.kind, '"app.users"' in warning.message) == ("bodies", True)
    (warning,) = passed("SELECT query_to_xml('SELECT 1', true, true, '')", rules).warnings
    assert warning.kind == "opaque"
    body = "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT id FROM users'"
    assert [warning.kind for warning in passed(body, rules).warnings] == ["bodies"]


def test_each_class_is_allowed_alone() -> None:
    existing, opaque = RoutineRules(existing=Action.ALLOW), RoutineRules(opaque=Action.ALLOW)
    assert passed("SELECT app.report()", existing).warnings == ()
    assert refusal("SELECT app.dynamic()", existing)
    assert refusal("DO $$ BEGIN DELETE FROM users; END $$", existing)
    assert passed("SELECT app.dynamic(), app.python(), dblink('x', 'y')", opaque).warnings == ()
    assert refusal("SELECT app.report()", opaque)
    assert passed("DO $$ BEGIN DELETE FROM users; END $$", RoutineRules(bodies=Action.ALLOW)).warnings == ()


def test_routines_are_allowed_one_by_one() -> None:
    rules = RoutineRules(allow=frozenset({("app", "report"), ("app", "dblink"), ("app", "made")}))
    assert passed("SELECT report(), app.outer_report(), app.dblink('x'), dblink('x')", rules).warnings == ()
    assert (
        passed("CREATE FUNCTION made() RETURNS text LANGUAGE sql AS 'SELECT email FROM users'", rules).refusal
        is None
    )
    assert refusal("SELECT app.atomic()", rules)
    assert refusal("SELECT public.dblink('x')", rules)


def test_role_that_sees_every_row_may_call_them_and_is_counted() -> None:
    for sql in ("SELECT app.report()", "SELECT query_to_xml('x', true, true, '')", "SELECT app.python()"):
        assert passed(sql, context=everything()).bypass is VisibilityMode.ALL
    assert passed("SELECT app.twice(1)", context=everything()).bypass is None
    assert refusal("DO $$ BEGIN DELETE FROM users; END $$", context=everything())


def test_visibility_of_some_tables_is_not_enough() -> None:
    some = Visibility(VisibilityMode.ALL, tables=frozenset({("app", "users")}))
    assert refusal("SELECT app.report()", context=everything(some))


def test_routine_over_a_table_in_observe_mode_passes_and_is_counted() -> None:
    statement = passed("SELECT app.watching()")
    assert (statement.outcome, statement.observed) == (Outcome.OBSERVED, ("app.watched",))
    assert passed("DO $$ BEGIN DELETE FROM app.watched; END $$").observed == ("app.watched",)


@pytest.mark.parametrize("name", ["quiet", "quieter", "hushing"])
def test_only_who_may_delete_physically_calls_what_turns_triggers_off(name: str) -> None:
    call = f"SELECT app.{name}()"
    for rules in (RULES, RoutineRules(Action.ALLOW, Action.ALLOW, Action.ALLOW)):
        for context in (example.context(), everything()):
            plan = planned(call, rules, context)
            assert isinstance(plan, Refused) and plan.refusal.sqlstate == "42501"
            assert "session_replication_role" in plan.refusal.message
    passed(call, context=example.context("dpo"))
    passed(call, RoutineRules(allow=frozenset({("app", "quiet"), ("app", name)})))
    passed("SELECT app.is_quiet()")


def test_no_rule_for_routines_lets_a_role_restore_but_for_one_that_wraps_it() -> None:
    every = RoutineRules(Action.ALLOW, Action.ALLOW, Action.ALLOW, frozenset({("pgsoftproxy", "restore")}))
    for call in ("pgsoftproxy.restore(since => now())", "app.undo()"):
        plan = planned(f"SELECT {call}", every)
        assert isinstance(plan, Refused) and plan.refusal.sqlstate == "42501", call
    passed("SELECT app.undo()", RoutineRules(allow=frozenset({("app", "undo")})))


def test_nothing_is_refused_where_nothing_is_hidden() -> None:
    catalog = policy().catalog
    observing, _ = compile_policy([TableRule("app.users", mode=Mode.OBSERVE)], {}, catalog)
    plan = rewrite(
        "SELECT app.python(), query_to_xml('x', true, true, ''), app.report()", observing, example.context()
    )
    assert isinstance(plan, Forward)
    assert plan.statements[0].observed == ("app.users",)


BODIES = {
    "BEGIN EXECUTE 'SELECT 1'; END": None,
    "BEGIN EXECUTE 'SELECT $1' USING 1; END": None,
    "BEGIN EXECUTE 'DELETE FROM us' || 'ers'; END": "computed",
    "BEGIN EXECUTE q; END": "computed",
    "BEGIN EXECUTE format('TRUNCATE app.%I', t); END": "computed",
    "BEGIN FOR r IN EXECUTE q LOOP NULL; END LOOP; END": "computed",
    "BEGIN EXECUTE 'DO $x$ BEGIN EXECUTE q; END $x$'; END": "computed",
    "BEGIN RAISE NOTICE 'cannot execute %', q; END": None,
    "BEGIN GRANT EXECUTE ON FUNCTION app.twice(int) TO web; END": None,
    "BEGIN CREATE TRIGGER t BEFORE INSERT ON logs EXECUTE FUNCTION x(); END": None,
    "BEGIN PERFORM dblink('x', 'y'); END": "dblink",
    "BEGIN EXECUTE E'SELECT 1 FROM app.\\x75sers'; END": "app.users",
    "BEGIN /* users */ NULL; -- orders\n END": None,
    "BEGIN DELETE FROM app./* x */users; END": "app.users",
    "BEGIN DELETE FROM APP.USERS; END": "app.users",
    'BEGIN DELETE FROM "USERS"; END': None,
    "BEGIN PERFORM 'app.users'::regclass; END": "app.users",
    "BEGIN EXECUTE $q$ SELECT 'it is', $r$ users $r$ $q$; END": "app.users",
    "BEGIN DELETE FROM public.users; END": None,
}


@pytest.mark.parametrize("body", BODIES)
def test_body_of_a_block_is_read_as_the_server_reads_it(body: str) -> None:
    expected = BODIES[body]
    sql = f"DO $body$ {body} $body$"
    if expected is None:
        assert passed(sql).warnings == ()
    else:
        assert expected in refusal(sql)[0]


@pytest.mark.parametrize(
    "sql",
    [
        "DO LANGUAGE plpython3u $$ plpy.execute(x) $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plperlu AS 'x'",
        "CREATE FUNCTION f() RETURNS int AS 'SELECT id FROM users' LANGUAGE SQL",
        "CREATE OR REPLACE PROCEDURE f() LANGUAGE plpgsql AS 'BEGIN TRUNCATE users; END'",
    ],
)
def test_body_in_any_language_and_order_is_judged(sql: str) -> None:
    assert refusal(sql)


def test_function_in_c_has_no_body_to_read() -> None:
    assert passed("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'users', 'orders'").warnings == ()


def test_routine_is_read_once_for_a_policy() -> None:
    shared = policy()
    first = rewrite("SELECT outer_report()", shared, example.context())
    assert set(shared.memo.own) == {1, 2}
    kept = shared.memo.findings[2]
    assert (
        rewrite("SELECT app.outer_report() + 1", shared, example.context()).statements[0].refusal is not None
    )
    assert shared.memo.findings[2] is kept
    assert isinstance(first, Refused)
