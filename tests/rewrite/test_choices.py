"""`[statements]`: what shows or keeps rows past the rewriter is refused, warned of or forwarded, class by class."""

from dataclasses import replace
from typing import Any

import pytest

from pgsoftproxy.model.context import Context, Visibility, VisibilityMode
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import StatementClass, StatementRules, Views
from pgsoftproxy.rewrite.plan import Forward, Refused, Rewritten
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.rewrite import example

CHOICES = {
    "SELECT * FROM frozen": (StatementClass.MATERIALIZED_VIEWS, None),
    "SELECT 1 FROM logs l JOIN app.frozen f USING (id)": (StatementClass.MATERIALIZED_VIEWS, None),
    "COPY app.frozen TO STDOUT": (StatementClass.MATERIALIZED_VIEWS, None),
    "COPY orders (id) TO '/x'": (
        StatementClass.COPY_TO_SERVER,
        "COPY (SELECT id FROM ONLY orders WHERE orders.deleted_at IS NULL) TO '/x'",
    ),
    "COPY (SELECT id FROM flags) TO PROGRAM 'x'": (
        StatementClass.COPY_TO_SERVER,
        "COPY (SELECT id FROM flags WHERE NOT flags.gone) TO PROGRAM 'x'",
    ),
    "SELECT histogram_bounds FROM pg_stats": (StatementClass.STATISTICS, None),
    "SELECT 1 FROM pg_catalog.pg_statistic_ext_data d": (StatementClass.STATISTICS, None),
    "CREATE RULE r AS ON INSERT TO logs DO ALSO SELECT * FROM pg_stats": (StatementClass.STATISTICS, None),
    "CREATE PUBLICATION p FOR TABLE logs, users": (StatementClass.PUBLICATIONS, None),
    "CREATE PUBLICATION p FOR ALL TABLES": (StatementClass.PUBLICATIONS, None),
    "CREATE PUBLICATION p FOR TABLES IN SCHEMA app": (StatementClass.PUBLICATIONS, None),
    "ALTER PUBLICATION p ADD TABLE ONLY app.base": (StatementClass.PUBLICATIONS, None),
    "ALTER PUBLICATION p SET TABLES IN SCHEMA CURRENT_SCHEMA": (StatementClass.PUBLICATIONS, None),
}


def policy(rules: StatementRules) -> Policy:
    return replace(example.policy(), statements=rules)


def rules_for(kind: StatementClass, action: Action) -> StatementRules:
    """Return rules that refuse all but one class."""
    changes: dict[str, Any] = {kind.value: action}
    return replace(StatementRules(), **changes)


def everything() -> Context:
    context = example.context("support")
    values = replace(context.values, visibility=Visibility(VisibilityMode.ALL))
    return replace(context, variables=replace(context.variables, current=values))


@pytest.mark.parametrize("sql", CHOICES)
def test_class_is_refused_unless_its_own_key_says_otherwise(sql: str) -> None:
    kind, sent = CHOICES[sql]
    for refusing in (
        StatementRules(),
        *(rules_for(one, Action.ALLOW) for one in StatementClass if one is not kind),
    ):
        plan = rewrite(sql, policy(refusing), example.context())
        assert isinstance(plan, Refused), plan
        assert plan.refusal.sqlstate == "0A000"
        assert f'[statements] {kind.value} = "warn"' in (plan.refusal.hint or "")
    for action in (Action.WARN, Action.ALLOW):
        plan = rewrite(sql, policy(rules_for(kind, action)), example.context())
        assert plan.sql == sent if isinstance(plan, Rewritten) else isinstance(plan, Forward) and sent is None
        warned = {warning.kind for warning in plan.statements[0].warnings}
        assert warned == ({kind.value} if action is Action.WARN else set())


@pytest.mark.parametrize("sql", ["SELECT * FROM frozen", "SELECT * FROM pg_stats"])
def test_a_session_that_sees_every_row_may_read_what_holds_deleted_ones(sql: str) -> None:
    assert isinstance(rewrite(sql, policy(StatementRules()), everything()), Forward)


def test_views_may_be_refused_by_name() -> None:
    plan = rewrite("SELECT num FROM active", policy(StatementRules(views=Views.REFUSE)), example.context())
    assert isinstance(plan, Refused)
    assert plan.refusal.message == 'view "app.active" shows rows of protected table "app.users"'
    assert isinstance(rewrite("SELECT num FROM active", example.policy(), example.context()), Rewritten)


def test_publication_of_a_watched_table_is_observed() -> None:
    plan = rewrite("CREATE PUBLICATION p FOR TABLE watched", policy(StatementRules()), example.context())
    assert isinstance(plan, Forward)
    assert plan.statements[0].observed == ("app.watched",)


def test_what_holds_no_protected_rows_is_forwarded() -> None:
    for sql in ("CREATE PUBLICATION p FOR TABLE logs", "COPY logs TO '/x'", "COPY users FROM '/x'"):
        plan = rewrite(sql, policy(StatementRules()), example.context())
        assert isinstance(plan, Forward), plan
        assert plan.statements[0].warnings == ()
